// Damaged and hostile vocabularies are refused with a sentence that names the place; odd but real
// ones load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "models/gguf/metadata.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/models/tokenizer/tiny_vocab.h"

namespace quern::tokenizer {
namespace {

using testing::HasSubstr;

std::string refusal(VocabData data) {
  const auto result = Tokenizer::from_data(std::move(data));
  return result.ok() ? "accepted" : result.error().message();
}

TEST(Vocabulary, TinyOnesLoad) {
  EXPECT_EQ(refusal(tiny_pieces()), "accepted");
  EXPECT_EQ(refusal(tiny_bytes()), "accepted");
  EXPECT_EQ(refusal(tiny_words()), "accepted");
}

TEST(Vocabulary, RefusesDamagedData) {
  struct Case {
    const char* what;
    std::function<void(VocabData&)> damage;
    const char* says;
  };
  const Case cases[] = {
      {"no tokens", [](VocabData& d) { d.tokens.clear(); }, "tokens has 0 entries"},
      {"scores short", [](VocabData& d) { d.scores.pop_back(); }, "scores has"},
      {"scores long", [](VocabData& d) { d.scores.push_back(0); }, "scores has"},
      {"types short", [](VocabData& d) { d.types.pop_back(); }, "token_type has"},
      {"types long", [](VocabData& d) { d.types.push_back(1); }, "token_type has"},
      {"type 7", [](VocabData& d) { d.types[4] = 7; }, "type 7"},
      {"type -1", [](VocabData& d) { d.types[4] = -1; }, "type -1"},
      {"NaN", [](VocabData& d) { d.scores[5] = std::nanf(""); }, "NaN"},
      {"duplicate", [](VocabData& d) { d.tokens[260] = "<s>"; },
       "duplicate token 1 (\"<s>\") and token 260"},
      {"long token", [](VocabData& d) { d.tokens[260].assign(1 << 20, 'x'); },
       "1048576 bytes long"},
      {"long special",
       [](VocabData& d) {
         d.tokens[260].assign(2000, 'x');
         d.types[260] = kFileControl;
       },
       "special token 260 is 2000 bytes"},
      {"byte -1", [](VocabData& d) { d.tokens[3] = "<0x-1>"; }, "<0x-1>"},
      {"byte ZZ", [](VocabData& d) { d.tokens[3] = "<0xZZ>"; }, "<0xZZ>"},
      {"byte 1", [](VocabData& d) { d.tokens[3] = "<0x1>"; }, "<0x1>"},
      {"byte twice", [](VocabData& d) { d.tokens[3] = "<0x0a>"; }, "same byte"},
      {"bos", [](VocabData& d) { d.bos = d.tokens.size(); }, "bos_token_id"},
      {"eos", [](VocabData& d) { d.eos = 0xFFFFFFFFU; }, "eos_token_id is 4294967295"},
      {"eot", [](VocabData& d) { d.eot = ~uint64_t{0}; }, "eot_token_id"},
      {"unk", [](VocabData& d) { d.unk = 1 << 20; }, "unknown_token_id"},
  };
  for (const Case& one : cases) {
    VocabData data = tiny_pieces();
    one.damage(data);
    EXPECT_THAT(refusal(data), HasSubstr(one.says)) << one.what;
  }
}

TEST(Vocabulary, RefusesMalformedMerges) {
  for (const char* merge : {"ab", "", " ", "a ", " b", "a b c", "a  b"}) {
    VocabData data = tiny_bytes();
    data.merges.push_back(merge);
    EXPECT_THAT(refusal(data), HasSubstr("merges: entry 5")) << merge;
  }
  VocabData many = tiny_bytes();
  many.merges.assign(kMaxMerges + 1, "a b");
  EXPECT_THAT(refusal(many), HasSubstr("expected at most"));
}

TEST(Vocabulary, AddBosNeedsABos) {
  VocabData data = tiny_bytes();
  data.add_bos = true;
  EXPECT_THAT(refusal(data), HasSubstr("bos_token_id is missing"));
}

TEST(Vocabulary, OddButRealOnesLoad) {
  VocabData pad = tiny_pieces();
  pad.pad = pad.tokens.size();  // a padding token that was never given a row
  const auto padded = Tokenizer::from_data(pad);
  ASSERT_TRUE(padded.ok()) << padded.error().message();
  EXPECT_FALSE(padded.value()->special().pad);

  VocabData empty = tiny_pieces();
  add_token(empty, "", kFileNormal);
  add_token(empty, "", kFileNormal);
  EXPECT_EQ(refusal(empty), "accepted");

  VocabData equal = tiny_pieces();
  equal.bos = equal.eos = equal.eot = equal.pad = equal.unk = 0;
  EXPECT_EQ(refusal(equal), "accepted");

  VocabData untyped = tiny_pieces();
  untyped.types.clear();
  const auto typed = Tokenizer::from_data(untyped);
  ASSERT_TRUE(typed.ok()) << typed.error().message();
  EXPECT_EQ(typed.value()->kind(1), TokenKind::kControl);
  EXPECT_EQ(typed.value()->kind(3), TokenKind::kByte);
}

TEST(Vocabulary, MergesMayPassThroughTextsThatAreNotTokens) {
  VocabData data = tiny_bytes();
  data.merges.push_back("x y");  // no token "xy"
  add_token(data, "xyz", kFileNormal);
  data.merges.push_back("xy z");
  data.merges.push_back("q r");  // "qr" stays unknown
  const auto tokenizer = Tokenizer::from_data(data);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  const auto id = static_cast<TokenId>(data.tokens.size() - 1);
  EXPECT_EQ(tokenizer.value()->encode("xyz", SpecialParsing::kText).value(),
            std::vector<TokenId>{id});
  EXPECT_EQ(tokenizer.value()->encode("qr", SpecialParsing::kText).value(),
            (std::vector<TokenId>{'q', 'r'}));
  // A merge into itself cannot loop: the joint text is longer than its parts.
  data.merges = {"a a", "a a", "aa aa", "aa aa"};
  EXPECT_EQ(refusal(data), "accepted");
}

TEST(Vocabulary, ControlTokensCannotBeMergedUp) {
  VocabData data = tiny_bytes();
  data.merges = {"< |", "<| e", "<|e n", "<|en d", "<|end |", "<|end| >"};
  const auto tokenizer = Tokenizer::from_data(data);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  const auto ids = tokenizer.value()->encode("<|end|>", SpecialParsing::kText).value();
  EXPECT_EQ(ids, (std::vector<TokenId>{'<', '|', 'e', 'n', 'd', '|', '>'}));
}

gguf::Metadata metadata_of(const VocabData& data) {
  gguf::Metadata metadata;
  metadata.set("tokenizer.ggml.model", std::string(data.model_name));
  metadata.set("tokenizer.ggml.pre", std::string("gpt-2"));
  metadata.set("tokenizer.ggml.tokens", data.tokens);
  metadata.set("tokenizer.ggml.scores", data.scores);
  metadata.set("tokenizer.ggml.token_type", data.types);
  metadata.set("tokenizer.ggml.merges", data.merges);
  return metadata;
}

std::string refusal(const gguf::Metadata& metadata) {
  const auto result = Tokenizer::from_metadata(metadata);
  return result.ok() ? "accepted" : result.error().message();
}

TEST(VocabularyMetadata, ChecksPresenceAndTypes) {
  const gguf::Metadata good = metadata_of(tiny_pieces());
  EXPECT_EQ(refusal(good), "accepted");

  gguf::Metadata bad = good;
  bad.set("tokenizer.ggml.scores", std::vector<int8_t>(tiny_pieces().tokens.size()));
  EXPECT_THAT(refusal(bad), HasSubstr("tokenizer.ggml.scores"));
  bad = good;
  bad.set("tokenizer.ggml.token_type", std::vector<int8_t>(tiny_pieces().tokens.size()));
  EXPECT_THAT(refusal(bad), HasSubstr("tokenizer.ggml.token_type"));
  bad = good;
  bad.set("tokenizer.ggml.tokens", std::vector<uint32_t>{1, 2, 3});
  EXPECT_THAT(refusal(bad), HasSubstr("tokenizer.ggml.tokens"));
  bad = good;
  bad.set("tokenizer.ggml.tokens", std::string("not an array"));
  EXPECT_THAT(refusal(bad), HasSubstr("tokenizer.ggml.tokens"));
  bad = good;
  bad.set("tokenizer.ggml.tokens", std::vector<std::string>{});
  EXPECT_THAT(refusal(bad), HasSubstr("0 entries"));
  bad = good;
  bad.set("tokenizer.ggml.bos_token_id", std::string("1"));
  EXPECT_THAT(refusal(bad), HasSubstr("bos_token_id"));
  bad = good;
  bad.set("tokenizer.ggml.model", std::string("t5"));
  EXPECT_THAT(refusal(bad), HasSubstr("\"t5\""));
  EXPECT_THAT(refusal(gguf::Metadata()), HasSubstr("tokenizer.ggml.model"));

  gguf::Metadata bytes = metadata_of(tiny_bytes());
  EXPECT_EQ(refusal(bytes), "accepted");
  bytes.set("tokenizer.ggml.pre", std::string("no-such-rule"));
  EXPECT_THAT(refusal(bytes), HasSubstr("no-such-rule"));
}

TEST(VocabularyMetadata, AbsentArraysAreErrors) {
  gguf::Metadata metadata;
  metadata.set("tokenizer.ggml.model", std::string("gpt2"));
  EXPECT_THAT(refusal(metadata), HasSubstr("tokenizer.ggml.tokens is missing"));
  metadata.set("tokenizer.ggml.tokens", std::vector<std::string>{"a"});
  EXPECT_THAT(refusal(metadata), HasSubstr("tokenizer.ggml.merges is missing"));
  metadata.set("tokenizer.ggml.model", std::string("llama"));
  EXPECT_THAT(refusal(metadata), HasSubstr("tokenizer.ggml.scores is missing"));
}

}  // namespace
}  // namespace quern::tokenizer
