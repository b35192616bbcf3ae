// Generated requests: each field with each wrong type and beyond each bound, each document shape
// (J-01 to J-10), for every generating endpoint.
#include "server/api/fields.h"
#include "server/api/duration.h"

#include <gtest/gtest.h>

#include <array>

#include "server/api/app/app.h"
#include "server/api/duration.h"
#include "server/api/generation.h"
#include "server/api/ollama/wire.h"
#include "tests/server/fakes/fake_engine.h"
#include "tests/server/support/raw_client.h"

namespace quern::api {
namespace {

struct Endpoint {
  std::string path;
  Json valid;
  std::string nested;  // object that holds the sampling fields, or ""
};

std::vector<Endpoint> endpoints() {
  const Json messages = Json::array({{{"role", "user"}, {"content", "hi"}}});
  return {
      {"/v1/completions", {{"prompt", "hi"}, {"max_tokens", 2}}, ""},
      {"/v1/chat/completions", {{"messages", messages}, {"max_tokens", 2}}, ""},
      {"/api/generate",
       {{"model", "tiny"}, {"prompt", "hi"}, {"stream", false}, {"options", Json::object()}},
       "options"},
      {"/api/chat",
       {{"model", "tiny"}, {"messages", messages}, {"stream", false}, {"options", Json::object()}},
       "options"}};
}

class GeneratedRequests : public testing::Test {
 protected:
  void SetUp() override {
    AppOptions options;
    options.port = 0;
    auto app = App::create(options, {model_.served()});
    ASSERT_TRUE(app.ok()) << app.error().message();
    app_ = std::move(app).value();
    ASSERT_TRUE(app_->start().ok());
  }

  int status(const std::string& path, const std::string& body) {
    const tests::RawResponse response = tests::post_json(app_->port(), path, body);
    last_ = response.body;
    return response.status;
  }

  tests::FakeModel model_;
  std::unique_ptr<App> app_;
  std::string last_;
};

TEST_F(GeneratedRequests, DocumentsThatAreNoObject) {
  const std::string deep_ok = "{\"user\":" + std::string(62, '[') + std::string(62, ']') + "}";
  const std::string deep = "{\"user\":" + std::string(100000, '[');
  for (const Endpoint& endpoint : endpoints()) {
    for (const std::string& body :
         {std::string(), std::string("null"), std::string("[]"), std::string("\"x\""),
          std::string("1"), std::string("{"), std::string("{\"a\":1,}"), std::string("{\"a\":NaN}"),
          std::string("{\"a\":1}x"), std::string("{\"model\":\"a\",\"model\":\"b\"}"),
          std::string("{\"prompt\":\"\xc0\x80\"}"), std::string("{\"prompt\":\"\\ud800\"}"),
          std::string("\xff\xfe{\0}\0", 6), std::string("{'a':1}"), std::string("// x\n{}"), deep,
          std::string(65, '[') + std::string(65, ']')}) {
      EXPECT_EQ(status(endpoint.path, body), 400) << endpoint.path << body.substr(0, 40);
      EXPECT_NE(last_.find("error"), std::string::npos);
    }
    Json valid = endpoint.valid;
    const auto nested = parse_json(deep_ok);
    ASSERT_TRUE(nested.ok());
    valid["user"] = (*nested)["user"];
    for (int i = 0; i < 1000; ++i) valid["unknown" + std::to_string(i)] = i;  // J-10
    EXPECT_EQ(status(endpoint.path, dump_json(valid)), 200) << last_;
  }
}

struct FieldCase {
  std::string name;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

std::vector<FieldCase> sampling_cases(bool ollama) {
  const std::vector<std::string> not_number = {"true", "\"1\"", "[]", "{}"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), not_number.begin(), not_number.end());
    return more;
  };
  return {
      {"temperature", {"0", "-0", "0.0", "1", "2", "1e-30", "null"}, with({"-1", "1e30", "101"})},
      {"top_p", {"0", "1", "0.5", "null"}, with({"-0.1", "1.5", "2"})},
      {"min_p", {"0", "1", "null"}, with({"-1", "2"})},
      {"typical_p", {"0.5", "1"}, with({"-1", "2"})},
      {"top_k",
       {"-1", "0", "40", "16.0", "2147483647"},
       with({"-2", "0.5", "2147483648", "1e308"})},
      {"repeat_penalty", {"1", "1.1"}, with({"0", "-1", "1e30"})},
      {"presence_penalty", {"0", "-2", "2"}, with({"1e30", "-1e30"})},
      {"frequency_penalty", {"0", "-2", "2"}, with({"1e30", "-1e30"})},
      {"seed",
       {"0", "-1", "1", "9007199254740993", "18446744073709551615", "-9223372036854775808"},
       with({"0.5", "1e30"})},
      {"stop",
       {"\"x\"", "[\"x\",\"y\"]", "[]", "\"\"", "null"},
       {"1", "true", "{}", "[1]", "[\"a\",null]",
        "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\","
        "\"15\",\"16\",\"17\"]",
        "\"" + std::string(257, 'x') + "\""}},
      {ollama ? "num_predict" : "max_tokens",
       {"0", "1", "-1", "100000", "null"},
       with({"-3", "0.5", "9223372036854775808", "1e308"})},
  };
}

TEST_F(GeneratedRequests, EachFieldWithEachBoundAndWrongType) {
  for (const Endpoint& endpoint : endpoints()) {
    for (const FieldCase& field : sampling_cases(!endpoint.nested.empty())) {
      const auto body_with = [&](const std::string& literal) {
        Json body = endpoint.valid;
        Json& holder = endpoint.nested.empty() ? body : body[endpoint.nested];
        holder[field.name] = "@";
        std::string text = dump_json(body);
        return text.replace(text.find("\"@\""), 3, literal);
      };
      for (const std::string& literal : field.good) {
        EXPECT_EQ(status(endpoint.path, body_with(literal)), 200)
            << endpoint.path << " " << field.name << "=" << literal << " " << last_;
      }
      for (const std::string& literal : field.bad) {
        EXPECT_EQ(status(endpoint.path, body_with(literal)), 400)
            << endpoint.path << " " << field.name << "=" << literal << " " << last_;
        EXPECT_NE(last_.find(field.name), std::string::npos) << last_;
      }
    }
  }
}

TEST(Fields, WholeNumbers) {
  int64_t out = 0;
  EXPECT_TRUE(whole_number(Json(16.0), out));
  EXPECT_EQ(out, 16);
  EXPECT_FALSE(whole_number(Json(0.5), out));
  EXPECT_FALSE(whole_number(Json(1e300), out));
  EXPECT_FALSE(whole_number(Json(uint64_t{1} << 63), out));
  EXPECT_FALSE(whole_number(Json("1"), out));
}

TEST(Fields, NamesInHeadersAreSafe) {
  EXPECT_EQ(joined_names({"a\r\nb", "c,d"}), "a??b, c?d");
  EXPECT_LT(joined_names(std::vector<std::string>(1000, std::string(1000, 'x'))).size(), 600U);
}

TEST(Durations, KeepAlive) {
  using namespace std::chrono_literals;
  const std::pair<Json, engine::KeepAlive> kGood[] = {
      {"5m", 5min},
      {"1h30m", 90min},
      {"10ms", 10ms},
      {42.5, 42500ms},
      {0, 0s},
      {"0", 0s},
      {"0s", 0s},
      {"-0", 0s},
      {-1, engine::kForever},
      {"-1s", engine::kForever},
      {"+1.5s", 1500ms},
      {1e300, engine::kForever},
      {"99999999h", engine::kForever},
  };
  for (const auto& [text, expected] : kGood) {
    EXPECT_EQ(parse_keep_alive(text), expected) << text;
  }
  for (const Json& bad : {Json("5x"), Json(""), Json("m"), Json(true), Json::array(), Json("1e9h"),
                          Json("300"), Json("-"), Json(std::string(100, '1') + "s")}) {
    EXPECT_EQ(parse_keep_alive(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(parse_keep_alive_option("300"), 300s);
  EXPECT_EQ(parse_keep_alive_option("-1"), engine::kForever);
  EXPECT_EQ(parse_keep_alive_option("5m"), 5min);
  EXPECT_EQ(parse_keep_alive_option("soon"), std::nullopt);
}

}  // namespace
}  // namespace quern::api
