// What a schema permits, spelled out; the goldens compare with an independent validator.
#include "engine/grammar/json_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/grammar/grammar_fixture.h"

namespace quern::grammar {
namespace {

using ::testing::HasSubstr;

void expect_instances(std::string_view schema, const std::vector<std::string>& inside,
                      const std::vector<std::string>& outside) {
  const auto built = from_schema_text(schema);
  ASSERT_TRUE(built.ok()) << schema << ": " << outcome(built);
  for (const std::string& text : inside) {
    EXPECT_TRUE((*built)->matches(text)) << schema << " <- " << text;
  }
  for (const std::string& text : outside) {
    EXPECT_FALSE((*built)->matches(text)) << schema << " <- " << text;
  }
}

TEST(JsonSchemaTest, ObjectsKeepTheOrderOfTheSchema) {
  expect_instances(
      R"({"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"null"},"c":{"const":1}},"required":["a"]})",
      {R"({"b":1,"a":null,"c":1})", R"({"a":null})", R"({"a":null,"c":1})", R"({"b":-7,"a":null})",
       "{ \"b\": 1,\n  \"a\": null\n}"},
      {"{}", R"({"b":1})", R"({"a":null,"b":1})", R"({"a":null,"d":1})", R"({"a":null,})",
       R"({,"a":null})", R"({"a" :null})", R"({"a":null,"c":1,"c":1})"});
  expect_instances(R"({"type":"object","properties":{"x":{"type":"boolean"}}})",
                   {"{}", "{ }", R"({"x":true})"}, {R"({"y":1})", R"({"x":1})", "[]"});
}

TEST(JsonSchemaTest, AdditionalProperties) {
  expect_instances(
      R"({"type":"object","properties":{"ab":{"type":"null"},"abc":{"type":"null"},"é":{"type":"null"}},"additionalProperties":{"type":"integer"}})",
      {"{}", R"({"ab":null})", R"({"a":1})", R"({"abcd":1,"b":2,"":3})", R"({"ab":null,"x":1})",
       R"({"éa":1})", R"({"ab":null,"abc":null,"é":null,"z":1})"},
      {R"({"ab":1})", R"({"x":1,"ab":1})", R"({"x":"1"})", R"({"é":1})", R"({"abc":2})"});
  expect_instances(R"({"type":"object","additionalProperties":false})", {"{}"}, {R"({"a":1})"});
  expect_instances(R"({"type":"object"})", {"{}", R"({"a":{"b":[1,2,{}]}})"}, {"[]", "1"});
  expect_instances(R"({"type":"object","required":["k"]})", {R"({"k":1})", R"({"k":1,"l":2})"},
                   {"{}", R"({"l":1})"});
}

TEST(JsonSchemaTest, Arrays) {
  expect_instances(R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
                   {"[1]", "[1, 2,3]", "[ 1,\n2 ]"}, {"[]", "[1,2,3,4]", "[1,]", "[\"a\"]"});
  expect_instances(
      R"({"type":"array","prefixItems":[{"const":"a"},{"type":"integer"}],"items":{"type":"null"},"minItems":1})",
      {"[\"a\"]", "[\"a\",1]", "[\"a\",1,null,null]"}, {"[]", "[1]", "[\"a\",null]"});
  expect_instances(R"({"type":"array","prefixItems":[{"const":1},{"const":2}],"items":false})",
                   {"[]", "[1]", "[1,2]"}, {"[1,2,3]", "[2]"});
  expect_instances(R"({"type":"array","items":[{"const":1}],"additionalItems":{"const":2}})",
                   {"[]", "[1]", "[1,2,2]"}, {"[2]", "[1,1]"});
  expect_instances(R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"});
  expect_instances(R"({"type":"array","items":{"const":7},"minItems":150,"maxItems":150})",
                   {"[" +
                    [] {
                      std::string s = "7";
                      for (int i = 1; i < 150; ++i) s += ",7";
                      return s;
                    }() +
                    "]"},
                   {"[7]", "[]"});
}

TEST(JsonSchemaTest, Strings) {
  expect_instances(R"({"type":"string","minLength":2,"maxLength":3})",
                   {R"("ab")", R"("äöü")", R"("\n\u00e9")", R"("\ud83d\ude00a")", "\"😀😀\""},
                   {R"("a")", R"("abcd")", R"("\ud83da")", "\"a\nb\"", R"("\q1")", "ab"});
  expect_instances(R"({"type":"string","pattern":"^[A-Z]{2}-\\d+$"})", {R"("AB-1")", R"("XY-123")"},
                   {R"("A-1")", R"("AB-")", R"("AB-1x")"});
  expect_instances(R"({"type":"string","pattern":"b+"})", {R"("b")", R"("abbc")"}, {R"("ac")"});
  expect_instances(R"({"type":"string","pattern":"^a|b$"})", {R"("ax")", R"("xb")"}, {R"("xa")"});
  expect_instances(R"({"type":"string","pattern":"^(?:a|b\"c)?[\\n\\\\]$"})",
                   {R"("a\n")", R"("b\"c\\")", R"("\\")"}, {R"("a")", "\"a\n\""});
  expect_instances(R"({"type":"string","pattern":"^[a-z]+$","maxLength":3})",
                   {R"("a")", R"("abc")"}, {R"("")", R"("abcd")"});
  expect_instances(R"({"type":"string","pattern":"^x{2,4}$","minLength":2,"maxLength":9})",
                   {R"("xx")"}, {R"("x")"});
}

TEST(JsonSchemaTest, Formats) {
  const auto formatted = [](const char* format) {
    return std::string(R"({"type":"string","format":")") + format + R"("})";
  };
  expect_instances(formatted("date"), {R"("2024-02-29")", R"("1999-12-31")", R"("2000-02-29")"},
                   {R"("2023-02-29")", R"("1900-02-29")", R"("2024-04-31")", R"("2024-13-01")",
                    R"("0000-01-01")", R"("2024-1-01")"});
  expect_instances(formatted("time"), {R"("23:59:59Z")", R"("00:00:00.123+02:00")"},
                   {R"("24:00:00Z")", R"("12:00:00")", R"("12:60:00Z")"});
  expect_instances(formatted("date-time"), {R"("2024-02-29T12:00:00Z")"},
                   {R"("2024-02-29 12:00:00Z")"});
  expect_instances(formatted("uuid"), {R"("123e4567-e89b-12d3-a456-426614174000")"},
                   {R"("123e4567e89b12d3a456426614174000")"});
  expect_instances(formatted("ipv4"), {R"("127.0.0.1")", R"("255.255.255.255")"},
                   {R"("256.0.0.1")", R"("01.0.0.1")", R"("1.2.3")"});
  expect_instances(formatted("ipv6"),
                   {R"("::")", R"("::1")", R"("2001:db8::1")", R"("1:2:3:4:5:6:7:8")"},
                   {R"("1:2:3:4:5:6:7")", R"("1::2::3")", R"("12345::")"});
  expect_instances(formatted("email"), {R"("a.b@example.org")"},
                   {R"("a@b")", R"("@b.c")", R"("a..b@c.de")"});
}

TEST(JsonSchemaTest, Numbers) {
  expect_instances(R"({"type":"integer"})", {"0", "-1", "1234567890123456"},
                   {"00", "1.0", "+1", "-", "1e3", "-0", "01"});
  expect_instances(R"({"type":"number"})", {"0", "-0.5", "1e10", "3.14E-2", "12"},
                   {".5", "1.", "0x1", "NaN", "1e400", "01"});
  expect_instances(R"({"type":"integer","minimum":-12,"maximum":345})",
                   {"-12", "-9", "0", "9", "345", "99", "300", "-1"},
                   {"-13", "346", "1000", "-20", "400"});
  expect_instances(R"({"type":"integer","exclusiveMinimum":9.5,"exclusiveMaximum":12})",
                   {"10", "11"}, {"9", "12"});
  expect_instances(R"({"type":"integer","minimum":100})", {"100", "9999", "1000000"},
                   {"99", "-100", "0"});
  expect_instances(R"({"type":"integer","maximum":-5})", {"-5", "-6", "-50"}, {"-4", "5", "0"});
  expect_instances(R"({"type":"number","minimum":0,"maximum":1})", {"0", "0.5", "1", "1.0", "0.00"},
                   {"1.1", "-0.5", "2", "1.01", "5e-1"});
  expect_instances(R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":2})",
                   {"0.1", "1", "1.99", "0.01"}, {"0", "0.0", "2", "2.0"});
  expect_instances(R"({"type":"number","minimum":-3,"exclusiveMaximum":-1})",
                   {"-3", "-3.0", "-2.5", "-1.001"}, {"-1", "-3.1", "0", "1"});
  expect_instances(R"({"type":"integer","multipleOf":7})", {"0", "7", "-14", "700007"},
                   {"1", "8", "-15"});
  expect_instances(R"({"type":"integer","multipleOf":25,"minimum":0})", {"0", "25", "1000"},
                   {"-25", "30"});
  expect_instances(R"({"type":"number","multipleOf":3,"minimum":-4,"maximum":10})",
                   {"-3", "0", "3", "6", "9"}, {"-6", "12", "1"});
}

TEST(JsonSchemaTest, Choices) {
  expect_instances(R"({"enum":["a",1,null,{"x":[1]},"a\n"]})",
                   {R"("a")", "1", "null", R"({"x":[1]})", R"("a\n")"}, {"2", R"("b")"});
  expect_instances(R"({"enum":["a",1,2.5],"type":["integer","string"]})", {R"("a")", "1"}, {"2.5"});
  expect_instances(R"({"const":true})", {"true"}, {"false", "1"});
  expect_instances(R"({"type":["string","null"],"maxLength":1})", {R"("a")", "null"},
                   {R"("ab")", "1"});
  expect_instances(R"({"anyOf":[{"type":"integer"},{"type":"string"}]})", {"1", R"("a")"},
                   {"null"});
  expect_instances(R"({"oneOf":[{"type":"integer"},{"type":"null"}]})", {"1", "null"}, {R"("a")"});
  expect_instances(
      R"({"oneOf":[{"$ref":"#/$defs/cat"},{"$ref":"#/$defs/dog"}],"discriminator":{"propertyName":"k"},
          "$defs":{"cat":{"type":"object","properties":{"k":{"const":"cat"}},"required":["k"]},
                   "dog":{"type":"object","properties":{"k":{"const":"dog"},"n":{"type":"integer"}},"required":["k","n"]}}})",
      {R"({"k":"cat"})", R"({"k":"dog","n":1})"}, {R"({"k":"dog"})", R"({"k":"cat","n":1})"});
}

TEST(JsonSchemaTest, Joined) {
  expect_instances(
      R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
                   {"properties":{"b":{"type":"string"},"a":{"minimum":3}},"required":["b"]}]})",
      {R"({"a":3,"b":"x"})"}, {R"({"a":2,"b":"x"})", R"({"a":3})"});
  expect_instances(
      R"({"$ref":"#/$defs/s","maxLength":2,"$defs":{"s":{"type":"string","minLength":1}}})",
      {R"("a")", R"("ab")"}, {R"("")", R"("abc")"});
  expect_instances(
      R"({"type":"object","properties":{"a":{},"b":{}},"anyOf":[{"required":["a"]},{"required":["b"]}]})",
      {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"}, {"{}"});
  expect_instances(
      R"({"allOf":[{"type":"object","properties":{"a":{}},"additionalProperties":false},{"properties":{"b":{}}}]})",
      {"{}", R"({"a":1})"}, {R"({"b":1})", R"({"a":1,"b":1})"});
}

TEST(JsonSchemaTest, Recursion) {
  const char* list =
      R"({"type":"object","properties":{"value":{"type":"integer"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["value","next"]})";
  expect_instances(list,
                   {R"({"value":1,"next":null})", R"({"value":1,"next":{"value":2,"next":null}})"},
                   {R"({"value":1})", R"({"value":1,"next":{}})"});
  const char* tree =
      R"({"$ref":"#/$defs/a~1b%25","$defs":{"a/b%":{"type":"array","items":{"$ref":"#/$defs/a~1b%25"}}}})";
  expect_instances(tree, {"[]", "[[],[[]]]"}, {"[1]", "{}"});
}

TEST(JsonSchemaTest, WhiteSpaceIsBounded) {
  const auto built = from_schema_text(R"({"type":"array","items":{"const":1}})");
  ASSERT_TRUE(built.ok());
  EXPECT_TRUE((*built)->matches("[\n" + std::string(32, ' ') + "1]"));
  EXPECT_FALSE((*built)->matches("[\n" + std::string(33, ' ') + "1]"));
  EXPECT_FALSE((*built)->matches("[  1]"));
  EXPECT_FALSE((*built)->matches("[\n\n1]"));
  EXPECT_FALSE((*built)->matches(" [1]"));
  EXPECT_FALSE((*built)->matches("[1] "));
}

TEST(JsonSchemaTest, RefusalsNameKeywordAndPlace) {
  struct Refusal {
    const char* schema;
    const char* message;
  };
  const Refusal refusals[] = {
      {R"({"properties":{"a":{"frobnicate":1}}})",
       "'frobnicate' at #/properties/a: unknown keyword"},
      {R"({"not":{}})", "'not' at #: this keyword is not supported"},
      {R"({"if":{}})", "'if' at #"},
      {R"({"properties":{"x~y/z":{"patternProperties":{}}}})",
       "'patternProperties' at #/properties/x~0y~1z"},
      {R"({"type":"array","contains":{}})", "'contains'"},
      {R"({"type":"array","uniqueItems":true})", "'uniqueItems' at #: is not supported"},
      {R"({"type":"object","minProperties":1})", "'minProperties'"},
      {R"({"type":"object","maxProperties":1})", "'maxProperties'"},
      {R"({"type":"strin"})", "'type' at #: must be one or a list of"},
      {R"({"type":"string","format":"regex"})", "\"regex\" is not supported; known are date"},
      {R"({"type":"string","pattern":"^ab$","maxLength":1})", "bound its repetitions"},
      {R"({"type":"string","pattern":"a","format":"date"})", "together with 'format'"},
      {R"({"type":"number","minimum":0.5})", "whole bounds only"},
      {R"({"type":"number","multipleOf":0.01})", "whole numbers only"},
      {R"({"type":"integer","multipleOf":7,"minimum":5})", "'multipleOf'"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "alternatives 0 and 1"},
      {R"({"enum":["abc"],"maxLength":2})", "beside enum or const"},
      {R"({"enum":[]})", "no value"},
      {R"({"type":"object","properties":{"a":{"$id":"x"}}})", "'$id' at #/properties/a"},
      {R"({"allOf":[{"type":"string"},{"type":"null"}]})", "leaves no type"},
      {R"({"type":"string","nullable":true})", "\"null\""},
      {R"({"anyOf":[]})", "at least one schema"},
      {R"({"properties":{"a":5}})", "must be an object, true or false"},
      {R"(5)", "must be an object, true or false"},
  };
  for (const Refusal& refusal : refusals) {
    const auto built = from_schema_text(refusal.schema);
    EXPECT_FALSE(built.ok()) << refusal.schema;
    EXPECT_THAT(outcome(built), HasSubstr(refusal.message)) << refusal.schema;
  }
}

TEST(JsonSchemaTest, AnnotationsSayNothing) {
  expect_instances(
      R"({"$schema":"x","$id":"y","title":"t","description":"\"::= quoted","default":1,"examples":[1],
          "$comment":"c","deprecated":true,"readOnly":true,"x-order":1,"type":"null"})",
      {"null"}, {"1"});
}

TEST(JsonSchemaTest, AnyObject) {
  Budget budget;
  Grammar grammar(budget);
  ASSERT_TRUE(any_json_object(grammar).ok());
  auto automaton = compile(grammar);
  ASSERT_TRUE(automaton.ok());
  const auto built = Constraint::create(std::move(automaton).value(), small_trie());
  ASSERT_TRUE(built.ok());
  EXPECT_TRUE((*built)->matches(R"({"a": [1, {"b": "\u00e9"}], "c": {}})"));
  EXPECT_FALSE((*built)->matches("[]"));
  EXPECT_FALSE((*built)->matches("{\"a\":1"));
}

}  // namespace
}  // namespace quern::grammar
