// Text comes out in well-formed pieces whose concatenation does not depend on where tokens end.
#include <gtest/gtest.h>

#include <random>

#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/unicode_text.h"
#include "tests/models/tokenizer/tiny_vocab.h"

namespace quern::tokenizer {
namespace {

constexpr const char* kReplaced = "\uFFFD";

bool well_formed(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string feed(std::string_view bytes, size_t piece) {
  Utf8Stream stream;
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const size_t before = out.size();
    stream.push(bytes.substr(at, piece), out);
    EXPECT_TRUE(well_formed(std::string_view(out).substr(before)));
  }
  stream.finish(out);
  return out;
}

TEST(Utf8Stream, ReplacesMaximalSubpartsOnce) {
  const std::string r = kReplaced;
  // Expected values: Unicode 15 section 3.9, tables 3-8 to 3-11; Python decodes the same way.
  const std::pair<std::string, std::string> cases[] = {
      {"\x80", r},
      {"\xBF\x80", r + r},
      {"\xC0\x80", r + r},
      {"\xC1\xBF", r + r},
      {"\xC3", r},
      {"\xC3(", r + "("},
      {"\xE2\x82", r},
      {"\xE2\x82z", r + "z"},
      {"\xE2\x28\xA1", r + "(" + r},
      {"\xE0\x80\x80", r + r + r},
      {"\xED\xA0\x80", r + r + r},
      {"\xED\xB0\x80", r + r + r},
      {"\xF0\x9F\x99", r},
      {"\xF0\x9F\x99\xF0\x9F\x99\x82", r + "\xF0\x9F\x99\x82"},
      {"\xF0\x80\x80\x80", r + r + r + r},
      {"\xF4\x90\x80\x80", r + r + r + r},
      {"\xF5\x80\x80\x80", r + r + r + r},
      {"\xFE\xFF", r + r},
      {"A\xF0\x90\x80"
       "B\xE2\xAC\xC3\xA9",
       "A" + r + "B" + r + "\u00E9"},
      {std::string("\0a", 2), std::string("\0a", 2)},
  };
  for (const auto& [bytes, expected] : cases) {
    for (size_t piece = 1; piece <= bytes.size(); ++piece) EXPECT_EQ(feed(bytes, piece), expected);
  }
}

TEST(Utf8Stream, CutsDoNotMatter) {
  std::mt19937 random(3);
  constexpr unsigned kBytes[] = {0x41, 0x80, 0x9F, 0xA0, 0xBF, 0xC2, 0xC3, 0xE0, 0xE2,
                                 0xED, 0xEF, 0xF0, 0xF3, 0xF4, 0xF5, 0xFF, 0x00, 0x90};
  for (int round = 0; round < 3000; ++round) {
    std::string bytes;
    for (size_t n = random() % 12; n > 0; --n) {
      bytes.push_back(static_cast<char>(kBytes[random() % std::size(kBytes)]));
    }
    const std::string whole = feed(bytes, 100);
    EXPECT_TRUE(well_formed(whole));
    for (size_t piece = 1; piece < 5; ++piece) ASSERT_EQ(feed(bytes, piece), whole);
  }
}

TEST(Utf8Stream, HoldsBackOnlyWhatMayStillComplete) {
  Utf8Stream stream;
  std::string out;
  stream.push("\xF0\x9F", out);
  EXPECT_EQ(out, "");
  EXPECT_EQ(stream.pending(), 2u);
  stream.push("\x99\x82 ok", out);
  EXPECT_EQ(out, "\U0001F642 ok");
  stream.push("\xED", out);
  EXPECT_EQ(stream.pending(), 1u);
  stream.push("\xA0", out);  // a surrogate: nothing can complete it
  EXPECT_EQ(stream.pending(), 0u);
}

TEST(StreamDecoder, ByteTokensJoinIntoCharacters) {
  const auto tokenizer = Tokenizer::from_data(tiny_bytes()).value();
  const std::string text = "h\u00E9llo \U0001F642\u4E2D!";
  const auto ids = tokenizer->encode(text, SpecialParsing::kText).value();
  StreamDecoder decoder(*tokenizer);
  std::string out;
  for (const TokenId id : ids) {
    const std::string piece = decoder.push(id);
    EXPECT_TRUE(well_formed(piece));
    out += piece;
  }
  EXPECT_FALSE(decoder.has_pending());
  out += decoder.finish();
  EXPECT_EQ(out, text);
}

TEST(StreamDecoder, FinishFlushesAndStartsOver) {
  const auto tokenizer = Tokenizer::from_data(tiny_bytes()).value();
  StreamDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_TRUE(decoder.has_pending());
  EXPECT_EQ(decoder.finish(), kReplaced);
  EXPECT_EQ(decoder.finish(), "");
  EXPECT_EQ(decoder.push('x'), "x");
}

TEST(StreamDecoder, ControlTokensDoNotSplitText) {
  const auto tokenizer = Tokenizer::from_data(tiny_bytes()).value();
  const TokenId end = *tokenizer->special().eos;
  StreamDecoder quiet(*tokenizer);
  EXPECT_EQ(quiet.push('a') + quiet.push(end) + quiet.push('b'), "ab");
  StreamDecoder shown(*tokenizer, {.at_start_of_text = false, .render_special = true});
  EXPECT_EQ(shown.push('a') + shown.push(end) + shown.push('b'), "a<|end|>b");
}

TEST(StreamDecoder, FirstSpaceIsDroppedOnlyAtTheStartOfText) {
  const auto tokenizer = Tokenizer::from_data(tiny_pieces()).value();
  const TokenId hello = *tokenizer->find("\u2581hello");
  const TokenId two_spaces = *tokenizer->find("\u2581\u2581");
  StreamDecoder start(*tokenizer, {.at_start_of_text = true, .render_special = false});
  EXPECT_EQ(start.push(1), "");
  EXPECT_EQ(start.push(hello), "hello");
  EXPECT_EQ(start.push(hello), " hello");
  EXPECT_EQ(start.finish(), "");
  EXPECT_EQ(start.push(two_spaces), " ");
  StreamDecoder middle(*tokenizer);
  EXPECT_EQ(middle.push(hello), " hello");
  EXPECT_EQ(middle.push(3 + 0x0A), "\n");
}

TEST(RoundTrip, AnyBytesComeBack) {
  std::mt19937 random(11);
  for (VocabData data : {tiny_pieces(), tiny_bytes()}) {
    const auto tokenizer = Tokenizer::from_data(std::move(data)).value();
    for (int round = 0; round < 500; ++round) {
      std::string text;
      for (size_t n = random() % 20; n > 0; --n) {
        text.push_back(
            static_cast<char>(random() % 3 == 0 ? random() % 256 : "a h\n"[random() % 4]));
      }
      const auto ids = tokenizer->encode(text, SpecialParsing::kText).value();
      std::string back;
      for (const TokenId id : ids) back += tokenizer->bytes(id);
      const bool prefixed = tokenizer->drops_first_space() && !text.empty();
      ASSERT_EQ(prefixed ? back.substr(1) : back, text);
    }
  }
}

TEST(Decode, RefusesIdsOutsideTheVocabulary) {
  const auto tokenizer = Tokenizer::from_data(tiny_bytes()).value();
  EXPECT_FALSE(tokenizer->decode({-1}).ok());
  EXPECT_FALSE(tokenizer->decode({static_cast<TokenId>(tokenizer->vocab_size())}).ok());
  EXPECT_TRUE(tokenizer->decode({}).ok());
}

}  // namespace
}  // namespace quern::tokenizer
