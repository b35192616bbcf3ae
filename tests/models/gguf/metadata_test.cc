// Typed getters: absent, right, wrong type, out of range; names and text in messages.
#include "models/gguf/metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/gguf/name_rules.h"

namespace quern::gguf {
namespace {

using ::testing::HasSubstr;

Metadata sample() {
  Metadata meta;
  meta.set("text", std::string("abc"));
  meta.set("minus", int32_t{-1});
  meta.set("big", uint64_t{1} << 63);
  meta.set("float", 1.5f);
  meta.set("flag", true);
  meta.set("int8s", std::vector<int8_t>{1, 2, 3});
  return meta;
}

TEST(Metadata, AbsentIsNotAnErrorForOptionalGetters) {
  const Metadata meta = sample();
  EXPECT_FALSE(meta.find_string("none")->has_value());
  EXPECT_FALSE(meta.find_uint("none")->has_value());
  EXPECT_FALSE(meta.find_int("none")->has_value());
  EXPECT_FALSE(meta.find_float("none")->has_value());
  EXPECT_FALSE(meta.find_bool("none")->has_value());
  EXPECT_EQ(*meta.find_array<float>("none"), nullptr);
  EXPECT_FALSE(meta.contains("none"));
}

TEST(Metadata, AbsentIsAnErrorForRequiredGetters) {
  const Metadata meta = sample();
  const auto missing = meta.get_uint("llama.block_count");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind(), ErrorKind::kInvalidInput);
  EXPECT_THAT(missing.error().message(), HasSubstr("key 'llama.block_count' is missing"));
  EXPECT_FALSE(meta.get_string("none").ok());
  EXPECT_FALSE(meta.get_float("none").ok());
  EXPECT_FALSE(meta.get_bool("none").ok());
}

TEST(Metadata, WrongTypeIsAnErrorEverywhere) {
  const Metadata meta = sample();
  EXPECT_THAT(meta.find_uint("text").error().message(),
              HasSubstr("key 'text' holds string, expected an unsigned integer"));
  EXPECT_THAT(meta.get_string("minus").error().message(), HasSubstr("holds int32"));
  EXPECT_THAT(meta.find_float("minus").error().message(), HasSubstr("expected a float"));
  EXPECT_THAT(meta.find_bool("minus").error().message(), HasSubstr("expected a bool"));
  EXPECT_FALSE(meta.find_uint("flag").ok()) << "a bool is not a number";
  EXPECT_FALSE(meta.find_int("float").ok());
  EXPECT_FALSE(meta.find_int("int8s").ok());
}

TEST(Metadata, IntegersMustFit) {
  const Metadata meta = sample();
  EXPECT_THAT(meta.get_uint("minus").error().message(), HasSubstr("key 'minus' is -1"));
  EXPECT_FALSE(meta.find_int("big").ok());
  EXPECT_EQ(**meta.find_int("minus"), -1);
  EXPECT_EQ(*meta.get_uint("big"), uint64_t{1} << 63);
}

TEST(Metadata, ArraysMustHaveTheElementType) {
  const Metadata meta = sample();
  EXPECT_EQ((*meta.find_array<int8_t>("int8s"))->size(), 3u);
  EXPECT_THAT(meta.find_array<float>("int8s").error().message(),
              HasSubstr("holds array of int8, expected an array of float32"));
  EXPECT_FALSE(meta.find_array<uint8_t>("int8s").ok());
  EXPECT_FALSE(meta.find_array<std::string>("text").ok()) << "a string is not an array";
}

TEST(Metadata, AddRefusesDuplicatesAndSetReplaces) {
  Metadata meta;
  EXPECT_TRUE(meta.add("k", uint32_t{1}).ok());
  const Status again = meta.add("k", std::string("x"));
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(again.error().message(), HasSubstr("'k' appears twice"));
  EXPECT_EQ(*meta.get_uint("k"), 1u);
  meta.set("k", uint32_t{2});
  meta.set("l", uint32_t{3});
  EXPECT_EQ(*meta.get_uint("k"), 2u);
  EXPECT_EQ(meta.entries().size(), 2u);
}

TEST(NameRules, RefuseWhatCouldForgeALogLine) {
  EXPECT_FALSE(name_fault("general.name"));
  EXPECT_FALSE(name_fault("\xe2\x82\xac"));
  EXPECT_EQ(name_fault(""), "it is empty");
  EXPECT_EQ(name_fault(std::string_view("a\0b", 3)), "it contains a NUL byte");
  for (const char* bad : {"a\nb", "a\rb", "\x1b[31m", "\x7f", "\xc2\x9b", "\xe2\x80\xa8"}) {
    EXPECT_EQ(name_fault(bad), "it contains a control character") << printable(bad);
  }
  for (const char* bad : {"\x80", "\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "a\xc3"}) {
    EXPECT_EQ(name_fault(bad), "it is not valid UTF-8") << printable(bad);
    EXPECT_FALSE(is_valid_utf8(bad));
  }
  EXPECT_EQ(tensor_name_fault("../x"), "it looks like a path");
  EXPECT_EQ(tensor_name_fault("/etc/x"), "it looks like a path");
  EXPECT_FALSE(tensor_name_fault("blk.0.attn_q.weight"));
}

TEST(NameRules, PrintableEscapesAndCuts) {
  EXPECT_EQ(printable("plain \xc3\xa9"), "plain \xc3\xa9");
  EXPECT_EQ(printable("a\nb\x1b\xff"), "a\\x0ab\\x1b\\xff");
  EXPECT_EQ(printable(std::string(1000, 'x'), 10), "xxxxxxxxxx...");
}

}  // namespace
}  // namespace quern::gguf
