// libFuzzer target: any text through every family of tokenizer and every pre-tokenizer rule. The
// first byte selects the vocabulary, the second the way of reading special tokens, the rest is the
// text.
//
// Promises: ids are in the vocabulary; byte-level BPE loses nothing (the tokens' bytes are the
// text, its decoding is the text with ill-formed UTF-8 replaced), SentencePiece only what escaping
// spaces loses; typed text makes no control token; the work grows with the length and no faster.
#include <memory>
#include <string>
#include <vector>

#include "models/tokenizer/pretokenize.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/fuzz/require.h"
#include "tests/models/tokenizer/tiny_vocab.h"

namespace {

using quern::fuzz::require;
using namespace quern::tokenizer;

struct Subject {
  Family family = Family::kByteLevel;
  // Characters looked at per character of text, at most.
  uint64_t work_per_byte = 150;
  std::shared_ptr<const Tokenizer> tokenizer;
};

Subject subject_of(const VocabData& data) {
  Subject subject;
  subject.family = data.family;
  // This rule tries runs of 512, 256, ... spaces at each word.
  if (data.pretokenizer == "jais-2") subject.work_per_byte = 1200;
  auto made = Tokenizer::from_data(data);
  require(made.ok(), "the hand-made vocabularies are valid");
  subject.tokenizer = std::move(made).value();
  return subject;
}

std::vector<Subject> make_subjects() {
  std::vector<Subject> subjects;
  VocabData raw = tiny_bytes();
  raw.family = Family::kRawBpe;
  raw.unk = 0;
  for (const VocabData& data : {tiny_pieces(), raw, tiny_words()}) {
    subjects.push_back(subject_of(data));
  }
  for (const std::string_view name : Pretokenizer::names()) {
    VocabData data = tiny_bytes();
    data.pretokenizer = name;
    subjects.push_back(subject_of(data));
  }
  return subjects;
}

std::string well_formed(std::string_view bytes) {
  std::string out;
  Utf8Stream utf8;
  utf8.push(bytes, out);
  utf8.finish(out);
  return out;
}

std::string bytes_of(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  std::string out;
  for (const TokenId id : ids) out += tokenizer.bytes(id, true);
  return out;
}

void check_ids(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, SpecialParsing mode) {
  for (const TokenId id : ids) {
    require(tokenizer.contains(id), "ids are in the vocabulary");
    const bool control = tokenizer.kind(id) == TokenKind::kControl && id != tokenizer.special().unk;
    require(mode == SpecialParsing::kParse || !control, "typed text makes no control token");
  }
}

void check_round_trip(const Subject& subject, std::string_view text,
                      const std::vector<TokenId>& ids) {
  const Tokenizer& tokenizer = *subject.tokenizer;
  if (subject.family == Family::kByteLevel) {
    require(bytes_of(tokenizer, ids) == text, "byte-level BPE loses nothing");
    const auto decoded = tokenizer.decode(ids, true);
    require(decoded.ok() && *decoded == well_formed(text), "decoding gives the text");
  } else if (subject.family == Family::kSentencePiece && !text.empty() &&
             text.find("\u2581") == std::string_view::npos) {
    require(bytes_of(tokenizer, ids) == " " + std::string(text), "pieces and bytes are the text");
    const auto decoded = tokenizer.decode(ids, true);
    require(decoded.ok() && *decoded == well_formed(text), "decoding gives the text");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const std::vector<Subject> subjects = make_subjects();
  const Subject& subject = subjects[data[0] % subjects.size()];
  const Tokenizer& tokenizer = *subject.tokenizer;
  const SpecialParsing mode = (data[1] & 1) != 0 ? SpecialParsing::kParse : SpecialParsing::kText;
  const std::string_view text = quern::fuzz::text_of(data + 2, size - 2);
  uint64_t steps = 0;
  const auto ids = tokenizer.encode(text, mode, steps);
  require(ids.ok(), "any text can be encoded");
  require(steps <= subject.work_per_byte * (text.size() + 16), "the work is linear");
  check_ids(tokenizer, *ids, mode);
  // Reading control tokens cuts the text in pieces, the first of which alone gets a space in front.
  if (mode == SpecialParsing::kText || subject.family == Family::kByteLevel) {
    check_round_trip(subject, text, *ids);
  }
  const size_t cut = text.size() / 2;
  const auto parts = tokenizer.encode_parts(
      {{text.substr(0, cut), SpecialParsing::kText}, {text.substr(cut), SpecialParsing::kText}});
  require(parts.ok(), "parts of a text can be encoded");
  require(mode == SpecialParsing::kParse || *parts == *ids, "borders of parts leave no trace");
  return 0;
}
