// The bounds and refusals of parse_json, and that dump_json takes any bytes.
#include "config/base/json.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

namespace quern {
namespace {

std::string repeated(const std::string& piece, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += piece;
  return out;
}

void expect_refused(const std::string& text, const std::string& part) {
  const auto result = parse_json(text);
  ASSERT_FALSE(result.ok()) << text.substr(0, 80);
  EXPECT_EQ(result.error().kind(), ErrorKind::kInvalidInput);
  EXPECT_NE(result.error().message().find(part), std::string::npos) << result.error().message();
}

TEST(Json, KeepsKeyOrderAndValues) {
  const auto value = parse_json(R"( {"z":1,"a":[true,null,-2.5,"é\n"],"m":{}} )");
  ASSERT_TRUE(value.ok()) << value.error().message();
  EXPECT_EQ(dump_json(*value), R"({"z":1,"a":[true,null,-2.5,"é\n"],"m":{}})");
  EXPECT_EQ(dump_json(*parse_json("[1]"), 2), "[\n  1\n]");
  for (const char* scalar : {"null", "true", "\"x\"", "7", "[]", "{}"}) {
    ASSERT_TRUE(parse_json(scalar).ok()) << scalar;
    EXPECT_EQ(dump_json(*parse_json(scalar)), scalar);
  }
}

TEST(Json, Depth) {
  const auto nested = [](size_t depth) { return repeated("[", depth) + repeated("]", depth); };
  EXPECT_TRUE(parse_json(nested(63)).ok());
  EXPECT_TRUE(parse_json(nested(64)).ok());
  expect_refused(nested(65), "deeper than 64");
  expect_refused(nested(100000), "deeper than 64");
  expect_refused(repeated("{\"a\":", 100000), "deeper than 64");
  expect_refused(repeated("[", 64), "malformed");
}

TEST(Json, Counts) {
  JsonLimits limits;
  limits.max_nodes = 4;
  EXPECT_TRUE(parse_json("[1,2,3]", limits).ok());
  EXPECT_FALSE(parse_json("[1,2,3,4]", limits).ok());
  limits = {};
  limits.max_object_keys = 2;
  EXPECT_TRUE(parse_json(R"([{"a":1,"b":2},{"a":1}])", limits).ok());
  EXPECT_FALSE(parse_json(R"({"a":1,"b":2,"c":3})", limits).ok());
  limits.max_bytes = 3;
  EXPECT_FALSE(parse_json("1234", limits).ok());
  limits.max_key_bytes = 2;
  EXPECT_FALSE(parse_json(R"({"abc":1})", limits).ok());
}

TEST(Json, LargeDocumentsTakeLinearTime) {
  std::string keys = "{\"k\":0";
  for (int i = 0; i < 60000; ++i) keys += ",\"k" + std::to_string(i) + "\":1";
  keys += "}";
  // Quadratic work on these would outlast the test's timeout.
  EXPECT_TRUE(parse_json(keys).ok());
  EXPECT_TRUE(parse_json("[" + repeated("0,", 900000) + "0]").ok());
  expect_refused("[" + repeated("0,", 3000000) + "0]", "more than 1000000 values");
}

TEST(Json, DuplicateKeys) {
  expect_refused(R"({"model":"a","model":"b"})", "\"model\" twice");
  expect_refused(R"({"a":1,"\u0061":2})", "twice");
  EXPECT_TRUE(parse_json(R"([{"a":1},{"a":2},{"a":{"a":3}}])").ok());
}

TEST(Json, Syntax) {
  for (const char* bad :
       {"",         " ",         "[1,]",     "{\"a\":1,}", "{} x",      "[1] [2]", "// c\n1",
        "/* c */1", "NaN",       "Infinity", "{a:1}",      "'a'",       "01",      "+1",
        "1.",       ".5",        "1e400",    "-1e400",     "\"a",       "\"\t\"",  "\"\\x\"",
        "[1 2]",    "{\"a\" 1}", "{1:2}",    "tru",        "\"\\u12\"", "-"}) {
    expect_refused(bad, "malformed");
  }
  const std::string utf16("\xff\xfe{\0}\0", 6);
  expect_refused(utf16, "malformed");
  EXPECT_TRUE(parse_json("\xef\xbb\xbf{}").ok());
  EXPECT_FALSE(parse_json(std::string("1\0", 2)).ok());
}

TEST(Json, Utf8) {
  for (const char* bad : {"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
                          "\"\xe2\x82\"", "\"\\ud800\"", "\"\\udc00x\"", "\"\\ud800\\u0041\""}) {
    expect_refused(bad, "malformed");
  }
  const auto good = parse_json(R"(["\u0000","\ufffe","\ud83d\ude00"])");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ((*good)[0].get<std::string>(), std::string("\0", 1));
  EXPECT_EQ((*good)[2].get<std::string>(), "😀");
}

TEST(Json, Numbers) {
  EXPECT_EQ(parse_json("18446744073709551615")->get<uint64_t>(),
            std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE(parse_json("18446744073709551616")->is_number_float());
  EXPECT_TRUE(parse_json("-9223372036854775808")->is_number_integer());
  EXPECT_TRUE(parse_json("1.0")->is_number_float());
}

TEST(Json, DumpNeverFails) {
  EXPECT_EQ(dump_json(Json("a\xff")), "\"a\xef\xbf\xbd\"");
  EXPECT_EQ(dump_json(Json(std::numeric_limits<double>::quiet_NaN())), "null");
}

}  // namespace
}  // namespace quern
