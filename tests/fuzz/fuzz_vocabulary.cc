// libFuzzer target: a model file's vocabulary, chat template aside: any bytes as GGUF, and what the
// tokenizer makes of the metadata.
//
// Promises: a vocabulary is refused with a sentence or works: any text is encoded to ids inside it
// or refused, every token has its bytes, and the work is bounded by the length of the text and of
// the longest token.
#include <algorithm>
#include <string>

#include "models/gguf/reader.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/fuzz/require.h"

namespace {

using quern::fuzz::require;
using namespace quern::tokenizer;

constexpr std::string_view kText = "hello <s>\xE2\x96\x81 aaaa\n\n12 \xFF\xC3\xA9</s><0x41>";

void check(const Tokenizer& tokenizer) {
  std::vector<TokenId> all;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    require(tokenizer.contains(id), "ids are dense");
    tokenizer.bytes(id);
    require(tokenizer.bytes(id, true).size() <= tokenizer.text(id).size() + 4,
            "a token stands for no more than its text");
    tokenizer.is_end_of_generation(id);
    all.push_back(id);
  }
  require(tokenizer.decode(all, true).ok(), "all tokens can be decoded");
  for (const TokenId id : tokenizer.end_of_generation_tokens()) {
    require(tokenizer.contains(id), "an answer ends with a token");
  }
  for (const SpecialParsing mode : {SpecialParsing::kText, SpecialParsing::kParse}) {
    uint64_t steps = 0;
    const auto ids = tokenizer.encode(kText, mode, steps);
    if (!ids.ok()) {
      require(!ids.error().message().empty(), "a refusal says why");
      continue;
    }
    for (const TokenId id : *ids) require(tokenizer.contains(id), "ids are in the vocabulary");
    require(tokenizer.decode(*ids).ok(), "what was encoded can be decoded");
    require(steps <= 4000 * kText.size(), "the work is bounded");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = quern::gguf::GgufFile::from_bytes(
      {reinterpret_cast<const std::byte*>(data), size}, "fuzz.gguf");
  if (!file.ok()) return 0;
  const auto tokenizer = Tokenizer::from_metadata((*file)->metadata());
  if (!tokenizer.ok()) {
    require(!tokenizer.error().message().empty(), "a refusal says why");
    return 0;
  }
  check(**tokenizer);
  return 0;
}
