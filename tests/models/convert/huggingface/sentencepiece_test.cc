// tokenizer.model: what the reference library wrote, and bytes that nobody would.
#include "models/convert/huggingface/sentencepiece_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/models/convert/huggingface/model_folder.h"

namespace quern::huggingface {
namespace {

using ::testing::HasSubstr;

Result<SentencePieceModel> parse(std::string_view bytes) {
  // A copy whose allocation ends with the last byte, so that reading past it is caught.
  const std::unique_ptr<std::byte[]> exact(new std::byte[bytes.size()]);
  std::copy_n(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), exact.get());
  return parse_sentencepiece({exact.get(), bytes.size()});
}

std::string error_of(std::string_view bytes) {
  const auto parsed = parse(bytes);
  return parsed.ok() ? "accepted" : parsed.error().message();
}

std::string golden() {
  return testing::bytes_of(testing::golden_folder() /
                           "tokenizers/pieces-model-only/tokenizer.model");
}

TEST(SentencePiece, ReadsWhatTheLibraryWrote) {
  const auto parsed = parse(golden());
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  ASSERT_EQ(parsed->pieces.size(), 340u);
  EXPECT_EQ(parsed->pieces[0].text, "<unk>");
  EXPECT_EQ(parsed->pieces[0].type, 2);
  EXPECT_EQ(parsed->pieces[1].type, 3);
  EXPECT_EQ(parsed->pieces[3].text, "<|user|>");
  EXPECT_EQ(parsed->pieces[3].type, 4);
  EXPECT_EQ(parsed->pieces[4].text, "<0x00>");
  EXPECT_EQ(parsed->pieces[4].type, 6);
  EXPECT_EQ(parsed->model_type, 2);
  EXPECT_TRUE(parsed->add_dummy_prefix);
  EXPECT_FALSE(parsed->remove_extra_whitespaces);
  EXPECT_FALSE(parsed->has_rules);
}

TEST(SentencePiece, DamagedFiles) {
  EXPECT_THAT(error_of(""), HasSubstr("no pieces"));
  EXPECT_THAT(error_of("\x0a"), HasSubstr("ends inside a number"));
  EXPECT_THAT(error_of("\x0a\x05"
                       "abc"),
              HasSubstr("5 bytes reaches over the 3 that remain"));
  EXPECT_THAT(error_of(std::string("\x0a") + std::string(9, '\xff') + "\x7f"),
              HasSubstr("reaches over"));
  EXPECT_THAT(error_of(std::string(11, '\xff')), HasSubstr("longer than ten bytes"));
  EXPECT_THAT(error_of("\x0b"), HasSubstr("type 3"));
  EXPECT_THAT(error_of(std::string("\x02\x00", 2)), HasSubstr("impossible number"));
  EXPECT_THAT(error_of(std::string("\x08\x01", 2)), HasSubstr("a piece is no message"));
  EXPECT_THAT(error_of("\x0a\x02\x18\x07"), HasSubstr("piece 0 has the type 7"));
  EXPECT_THAT(error_of("\x0a\x03\x0a\x01\xff"), HasSubstr("piece 0 is not UTF-8"));
  EXPECT_THAT(error_of("IQ== 0\nIg== 1\n"), HasSubstr("damaged or no SentencePiece model"));
}

TEST(SentencePiece, TruncationsAndFlipsAreRefusedOrHarmless) {
  const std::string whole = golden();
  for (size_t size = 0; size < whole.size(); size += 7) {
    const auto parsed = parse(std::string_view(whole).substr(0, size));
    if (parsed.ok()) {
      EXPECT_LE(parsed->pieces.size(), 340u);
    }
  }
  for (size_t at = 0; at < whole.size(); at += 3) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    const auto parsed = parse(changed);
    if (!parsed.ok()) {
      EXPECT_FALSE(parsed.error().message().empty());
    }
  }
}

}  // namespace
}  // namespace quern::huggingface
