// `quern bench serve` as a user runs it, on a scripted server: arguments, reports, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "config/base/json.h"
#include "process.h"
#include "tests/server/support/scripted_server.h"

namespace quern::testing {
namespace {

using ::testing::HasSubstr;

// Lists a model "m" and answers every prompt with three pieces, if the key is "k".
class BenchServe : public ::testing::Test {
 protected:
  static void answer(tests::ScriptedConnection& connection) {
    connection.read_request();
    const bool lists = connection.head().starts_with("GET /v1/models ");
    if (connection.head().find("Authorization: Bearer k\r") == std::string::npos) {
      return connection.send("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno");
    }
    if (lists) {
      return connection.send(
          "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"data\":[{\"id\":\"m\"}]}  ");
    }
    connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    for (int i = 0; i < 3; ++i) connection.send("data: {\"choices\":[{\"text\":\"x\"}]}\n\n");
    connection.send(
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
        "data: [DONE]\n\n");
  }
  Outcome bench(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"bench", "serve",
                                          "http://127.0.0.1:" + std::to_string(server_.port())};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_quern(arguments);
  }

  tests::ScriptedServer server_{answer};
};

TEST_F(BenchServe, ReportsAsJson) {
  const Outcome outcome =
      bench({"-c", "2", "-n", "6", "--warm-up", "1", "--api-key", "k", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto report = parse_json(outcome.out);
  ASSERT_TRUE(report.ok()) << outcome.out;
  EXPECT_EQ((*report)["model"], "m");
  EXPECT_EQ((*report)["requests"]["answered"], 6);
  EXPECT_EQ((*report)["tokens"]["completion"], 18);
  EXPECT_EQ((*report)["tokens"]["prompt"], 42);
  EXPECT_EQ((*report)["gap_ms"]["count"], 12);
  EXPECT_EQ(server_.n_connections(), 8) << "one that lists models, one that warms up";
}

TEST_F(BenchServe, PrintsATable) {
  const Outcome outcome = bench(
      {"--rate", "100", "--arrivals", "fixed", "-n", "3", "--api-key", "k", "--model", "other"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("model \"other\", open loop, 100 requests/s, fixed arrivals"));
  EXPECT_THAT(outcome.out, HasSubstr("3 answered"));
  EXPECT_THAT(outcome.out, HasSubstr("9 tokens (counted from usage) in 9 pieces"));
}

TEST_F(BenchServe, TheKeyMayComeFromTheEnvironment) {
  const Outcome outcome =
      run_quern({"bench", "serve", "http://127.0.0.1:" + std::to_string(server_.port()), "-n", "1"},
                "", {"QUERN_API_KEY=k"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(BenchServe, EndsWithOneWhenNothingWasAnswered) {
  const Outcome outcome = bench({"--model", "m", "-n", "2"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("2 http_401, first: no"));
  const Outcome unlisted = bench({"-n", "2"});
  EXPECT_EQ(unlisted.exit_code, 1);
  EXPECT_THAT(unlisted.err, HasSubstr("status 401"));
}

TEST_F(BenchServe, SaysWhatIsWrongBeforeItAsks) {
  const auto message = [&](std::vector<std::string> more) {
    const Outcome outcome = bench(std::move(more));
    EXPECT_EQ(outcome.exit_code, 1);
    return outcome.err;
  };
  EXPECT_THAT(message({"--prompt-words", "0"}), HasSubstr("--prompt-words"));
  EXPECT_THAT(message({"--extra", "{"}), HasSubstr("--extra"));
  EXPECT_THAT(message({"--extra", "[]"}), HasSubstr("no JSON object"));
  EXPECT_THAT(message({"--extra", "{\"stream\": false}"}), HasSubstr("\"stream\""));
  EXPECT_THAT(message({"--prompts", "/nonexistent/x.jsonl"}), HasSubstr("/nonexistent/x.jsonl"));
  EXPECT_THAT(message({"--rate", "1000", "--duration", "80000"}), HasSubstr("--duration"));
  EXPECT_THAT(message({"--api-key", "a b"}), HasSubstr("API key"));
  EXPECT_EQ(server_.n_connections(), 0);
}

TEST_F(BenchServe, UsageErrors) {
  EXPECT_EQ(run_quern({"bench", "serve"}).exit_code, 2);
  EXPECT_EQ(bench({"--rate", "1", "-c", "2"}).exit_code, 2);
  EXPECT_EQ(bench({"--arrivals", "fixed"}).exit_code, 2);
  EXPECT_EQ(bench({"--requests", "0"}).exit_code, 2);
  const Outcome help = run_quern({"bench", "serve", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("Examples:"));
  EXPECT_THAT(run_quern({"bench", "--help"}).out, HasSubstr("serve"));
}

TEST_F(BenchServe, PromptsMayComeFromAFile) {
  const std::string path =
      ::testing::TempDir() + "/prompts-" + std::to_string(server_.port()) + ".jsonl";
  std::ofstream(path) << "\"one\"\n{\"prompt\": \"two\", \"max_tokens\": 2}\n";
  const Outcome outcome = bench({"--prompts", path, "-n", "4", "--api-key", "k", "--json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  std::remove(path.c_str());
}

}  // namespace
}  // namespace quern::testing
