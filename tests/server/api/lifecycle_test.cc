// Several models behind one front door: loading on demand, listings, keep-alive, failures,
// disconnects and draining while a model is loaded.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "server/api/app/app.h"
#include "tests/server/fakes/fake_engine.h"
#include "tests/server/support/raw_client.h"

namespace quern::api {
namespace {

using namespace std::chrono_literals;
using tests::RawClient;
using tests::RawResponse;

// A model whose loading the test controls.
struct Script {
  std::string id;
  uint64_t bytes = 0;
  tests::FakeModel model;
  std::atomic<bool> may_load{true};
  std::atomic<bool> fails{false};
  std::atomic<int> loads{0};
};

class ScriptedResident final : public ServedResident {
 public:
  explicit ScriptedResident(Script& script) : served_(script.model.served()), bytes_(script.bytes) {
    served_.id = script.id;
    served_.adapters.clear();
  }
  uint64_t bytes() const override { return bytes_; }
  bool usable() const override { return true; }
  void drain(std::chrono::steady_clock::time_point) override {}
  const ServedModel& model() const override { return served_; }

 private:
  ServedModel served_;
  uint64_t bytes_;
};

class Lifecycle : public testing::Test {
 protected:
  void start(AppOptions options = {}) {
    options.port = 0;
    first_.id = "first";
    first_.bytes = 600;
    second_.id = "second";
    second_.bytes = 500;
    auto app = App::create(std::move(options), {offer(first_), offer(second_)});
    ASSERT_TRUE(app.ok()) << app.error().message();
    app_ = std::move(app).value();
    ASSERT_TRUE(app_->start().ok());
  }
  static ModelOffer offer(Script& script) {
    ModelOffer out;
    out.listed = script.model.served();
    out.listed.id = script.id;
    out.listed.aliases.clear();
    out.listed.adapters.clear();
    out.bytes = script.bytes;
    out.load = [&script]() -> Result<std::unique_ptr<ServedResident>> {
      while (!script.may_load) std::this_thread::sleep_for(1ms);
      ++script.loads;
      if (script.fails) {
        return Error(ErrorKind::kInvalidInput, "first.gguf: broken; download it again");
      }
      return std::unique_ptr<ServedResident>(std::make_unique<ScriptedResident>(script));
    };
    return out;
  }
  RawResponse ask(const std::string& model, const std::string& more = "") const {
    return tests::post_json(app_->port(), "/v1/completions",
                            R"({"prompt":"x","model":")" + model + "\"" + more + "}");
  }
  Json get(const std::string& path) const {
    auto parsed = parse_json(tests::get(app_->port(), path).body);
    return parsed.ok() ? std::move(*parsed) : Json();
  }
  bool loaded(size_t index) const { return app_->catalogue().state(index).loaded; }
  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) std::this_thread::sleep_for(1ms);
    return condition();
  }

  Script first_;
  Script second_;
  std::unique_ptr<App> app_;
};

std::string completion_request(const std::string& model) {
  const std::string body = R"({"prompt":"x","model":")" + model + "\"}";
  return "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST_F(Lifecycle, EachModelIsLoadedByItsFirstRequest) {
  start();
  const Json listed = get("/v1/models");
  ASSERT_EQ(listed["data"].size(), 2U);
  EXPECT_EQ(listed["data"][1]["id"], "second");
  EXPECT_EQ(listed["data"][1]["meta"]["loaded"], false);
  EXPECT_FALSE(listed["data"][1].contains("max_model_len"));
  EXPECT_EQ(first_.loads + second_.loads, 0);
  EXPECT_EQ(ask("second").status, 200);
  EXPECT_EQ(ask("second:latest").status, 200);
  EXPECT_EQ(first_.loads, 0);
  EXPECT_EQ(second_.loads, 1);
  EXPECT_EQ(get("/v1/models/second")["max_model_len"], 512);
  EXPECT_EQ(tests::post_json(app_->port(), "/v1/completions", R"({"prompt":"x"})").status, 200);
  EXPECT_EQ(first_.loads, 1);  // the default
  const RawResponse unknown = ask("third");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_NE(unknown.body.find("model_not_found"), std::string::npos);
}

TEST_F(Lifecycle, ARequestThatIsRefusedLoadsNothing) {
  start();
  EXPECT_EQ(ask("first", R"(,"temperature":9)").status, 400);
  EXPECT_EQ(tests::post_json(app_->port(), "/api/chat",
                             R"({"model":"first","messages":[{}],"options":{"top_p":2}})")
                .status,
            400);
  EXPECT_EQ(first_.loads, 0);
}

TEST_F(Lifecycle, ListingsTellTheTruth) {
  start();
  EXPECT_EQ(get("/api/tags")["models"].size(), 2U);
  EXPECT_EQ(get("/api/ps")["models"], Json::array());
  const RawResponse show = tests::post_json(app_->port(), "/api/show", R"({"model":"second"})");
  EXPECT_EQ(show.status, 200);  // of a model that is not loaded
  EXPECT_EQ(first_.loads + second_.loads, 0);
  const auto load = [&](const char* body) {
    const RawResponse response = tests::post_json(app_->port(), "/api/generate", body);
    auto parsed = parse_json(response.body);
    return parsed.ok() ? (*parsed)["done_reason"] : Json();
  };
  EXPECT_EQ(load(R"({"model":"first","keep_alive":"5m"})"), "load");
  EXPECT_EQ(load(R"({"model":"second","keep_alive":-1})"), "load");
  const Json ps = get("/api/ps")["models"];
  ASSERT_EQ(ps.size(), 2U);
  EXPECT_EQ(ps[0]["name"], "second:latest");  // the latest to go first
  EXPECT_EQ(ps[0]["size"], 500);
  EXPECT_EQ(ps[1]["name"], "first:latest");
  const auto expires = app_->catalogue().state(0).expires_in;
  EXPECT_GT(expires, 200s);
  EXPECT_LE(expires, 300s);
  EXPECT_EQ(ps[1]["expires_at"].get<std::string>().substr(0, 2), "20");
  EXPECT_EQ(load(R"({"model":"first","keep_alive":0})"), "unload");
  EXPECT_TRUE(eventually([&] { return get("/api/ps")["models"].size() == 1; }));
}

TEST_F(Lifecycle, AKeepAliveOfNothingEndsWithTheAnswer) {
  start();
  const char* body = R"({"model":"first","prompt":"x","stream":false,"keep_alive":0})";
  const RawResponse answer = tests::post_json(app_->port(), "/api/generate", body);
  EXPECT_EQ(answer.status, 200);
  const auto parsed = parse_json(answer.body);
  ASSERT_TRUE(parsed.ok());
  EXPECT_GT((*parsed)["load_duration"], 1000);  // the fake's queue time, and the load
  EXPECT_TRUE(eventually([&] { return !loaded(0); }));
  EXPECT_EQ(ask("first").status, 200);
  EXPECT_EQ(first_.loads, 2);
}

TEST_F(Lifecycle, TheServersBrokenFileIsNotTheClientsMistake) {
  start();
  first_.fails = true;
  const RawResponse openai = ask("first");
  EXPECT_EQ(openai.status, 500);
  EXPECT_NE(openai.body.find("download it again"), std::string::npos);
  const RawResponse ollama =
      tests::post_json(app_->port(), "/api/generate", R"({"model":"first","prompt":"x"})");
  EXPECT_EQ(ollama.status, 500);
  EXPECT_EQ(ask("second").status, 200);
  first_.fails = false;
  EXPECT_EQ(ask("first").status, 200);
}

TEST_F(Lifecycle, AClientThatLeavesWhileItsModelIsLoadedIsNoticed) {
  start();
  first_.may_load = false;
  {
    RawClient client(app_->port());
    client.send(completion_request("first"));
    EXPECT_TRUE(eventually([&] { return app_->catalogue().state(0).waiting == 1; }));
    client.reset();
  }
  EXPECT_TRUE(eventually([&] { return app_->catalogue().state(0).waiting == 0; }));
  EXPECT_TRUE(eventually([&] { return app_->counters().busy == 0; }));
  first_.may_load = true;
  EXPECT_EQ(ask("first").status, 200);
  EXPECT_EQ(first_.model.engine.requests().size(), 1U);
}

TEST_F(Lifecycle, WaitingForAModelCountsAgainstTheKey) {
  AppOptions options;
  options.api_keys = {"one", "two"};
  options.manager.max_waiting_per_share = 1;
  start(options);
  first_.may_load = false;
  const auto send = [&](RawClient& client, const std::string& key, const char* model) {
    std::string request = completion_request(model);
    request.insert(request.find("Content-Length"), "Authorization: Bearer " + key + "\r\n");
    client.send(request);
  };
  RawClient patient(app_->port());
  send(patient, "one", "first");
  EXPECT_TRUE(eventually([&] { return app_->catalogue().state(0).waiting == 1; }));
  for (const char* model : {"first", "second"}) {
    RawClient client(app_->port());
    send(client, "one", model);
    const RawResponse refused = client.read_response();
    EXPECT_EQ(refused.status, 429);
    EXPECT_FALSE(refused.header("retry-after").empty());
    EXPECT_NE(refused.body.find("rate_limit_exceeded"), std::string::npos) << refused.body;
  }
  RawClient other(app_->port());
  send(other, "two", "first");
  EXPECT_TRUE(eventually([&] { return app_->catalogue().state(0).waiting == 2; }));
  first_.may_load = true;
  EXPECT_EQ(patient.read_response().status, 200);
  EXPECT_EQ(other.read_response().status, 200);
}

TEST_F(Lifecycle, WaitingForAModelCountsAgainstTheRequestsTime) {
  AppOptions options;
  options.request_timeout = 1s;
  start(options);
  first_.may_load = false;
  const RawResponse late = ask("first");
  EXPECT_EQ(late.status, 503);
  EXPECT_FALSE(late.header("retry-after").empty());
  EXPECT_NE(late.body.find("was not loaded within"), std::string::npos);
  first_.may_load = true;
}

TEST_F(Lifecycle, RoomIsMadeByBytesAndTheImpossibleIsRefused) {
  AppOptions options;
  options.manager.budget_bytes = 550;
  start(options);
  const RawResponse never = ask("first");
  EXPECT_EQ(never.status, 503);
  EXPECT_NE(never.body.find("600"), std::string::npos);
  EXPECT_NE(never.body.find("550"), std::string::npos);
  EXPECT_EQ(ask("second").status, 200);

  app_.reset();
  options.manager.budget_bytes = 1000;  // one of them at a time
  start(options);
  EXPECT_EQ(ask("first").status, 200);
  EXPECT_EQ(ask("second").status, 200);
  EXPECT_FALSE(loaded(0));
  EXPECT_EQ(ask("first").status, 200);
  EXPECT_FALSE(loaded(1));
}

TEST_F(Lifecycle, DrainingAnswersThoseWhoWaitForAModel) {
  start();
  first_.may_load = false;
  RawClient client(app_->port());
  client.send(completion_request("first"));
  EXPECT_TRUE(eventually([&] { return app_->catalogue().state(0).waiting == 1; }));
  EXPECT_FALSE(app_->drain(std::chrono::steady_clock::now() + 20ms));
  app_->drain_models(std::chrono::steady_clock::now());
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 503);
  EXPECT_NE(response.body.find("shutting down"), std::string::npos);
  first_.may_load = true;
  app_->stop();
}

// Each line is one JSON object, whatever a client sends.
TEST_F(Lifecycle, TheLogAsJson) {
  AppOptions options;
  options.log = Log::to_stderr(LogLevel::kInfo, LogFormat::kJson);
  options.manager.log = options.log;
  testing::internal::CaptureStderr();
  start(options);
  const std::string body = R"({"prompt":"abc","model":"first","max_tokens":4})";
  tests::post_json(app_->port(), "/v1/completions", body, "X-Request-Id: mine\r\n");
  tests::get(app_->port(), "/a\"b\\c\xff{}");
  tests::fetch(app_->port(), "GET /\x01\x02 HTTP/1.1\r\n\r\n");
  ask("nobody");
  app_->catalogue().unload(0);
  EXPECT_TRUE(eventually([&] { return app_->catalogue().state(0).unloads == 1; }));
  app_->stop();
  const std::string log = testing::internal::GetCapturedStderr();
  std::vector<Json> lines;
  for (size_t at = 0; at < log.size();) {
    const size_t end = log.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    auto parsed = parse_json(std::string_view(log).substr(at, end - at));
    ASSERT_TRUE(parsed.ok()) << log.substr(at, end - at);
    for (const char* name : {"time", "level", "message"}) EXPECT_TRUE(parsed->contains(name));
    lines.push_back(std::move(*parsed));
    at = end + 1;
  }
  ASSERT_EQ(lines.size(), 5U) << log;
  // Lines of different requests may change places.
  const auto find = [&](const char* name, const Json& value) {
    const auto found = std::find_if(lines.begin(), lines.end(), [&](const Json& line) {
      return line.contains(name) && line[name] == value;
    });
    return found == lines.end() ? Json() : *found;
  };
  const Json first = find("id", "mine");
  EXPECT_EQ(first["message"], "request");
  EXPECT_EQ(first["id"], "mine");
  EXPECT_EQ(first["peer"], "127.0.0.1");
  EXPECT_EQ(first["method"], "POST");
  EXPECT_EQ(first["path"], "/v1/completions");
  EXPECT_EQ(first["status"], 200);
  EXPECT_GT(first["bytes"], 100);
  EXPECT_GT(first["ms"], 0);
  EXPECT_EQ(first["model"], "first");
  EXPECT_EQ(first["prompt_tokens"], 4);  // with the beginning of the text
  EXPECT_EQ(first["completion_tokens"], 4);
  EXPECT_GT(first["ttft_ms"], 0);
  const Json unknown = find("status", 404);
  EXPECT_FALSE(unknown.is_null() || unknown.contains("ttft_ms"));
  EXPECT_FALSE(find("message", "the model 'first' was unloaded").is_null());
}

}  // namespace
}  // namespace quern::api
