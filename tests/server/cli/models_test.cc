// Several real models in one process: each answers as it does alone, however busy; what is on
// offer, what is refused, what the log says.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <thread>

#include "server_process.h"
#include "tests/engine/store/scratch_directory.h"
#include "tests/server/support/exposition_parser.h"
#include "tests/server/support/raw_client.h"
#include "tests/support/tiny_model.h"

namespace quern::testing {
namespace {

using namespace std::chrono_literals;
using tests::RawResponse;

class Models : public ::testing::Test {
 protected:
  // Writes a model of random weights; its path.
  std::string write(const std::string& name, uint64_t seed, const std::string& architecture) const {
    tests_support::TinyModelOptions options;
    options.architecture = architecture;
    options.seed = seed;
    const auto bytes = tests_support::tiny_model_bytes(options);
    EXPECT_TRUE(bytes.ok());
    const std::string path = (scratch_.path() / name).string();
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes->data()),
              static_cast<std::streamsize>(bytes->size()));
    return path;
  }
  // Every token's log-probability, which tells more than the odd text of a random model.
  static std::string answer(const ServerProcess& server, const std::string& model, uint64_t seed) {
    Json body;
    body["model"] = model;
    body["prompt"] = "Once upon a time " + std::to_string(seed % 3);
    body["seed"] = seed;
    body["temperature"] = 1.0;
    body["max_tokens"] = 20;
    body["ignore_eos"] = true;
    body["logprobs"] = 1;
    const RawResponse response = tests::post_json(server.port(), "/v1/completions", body.dump());
    const auto parsed = parse_json(response.body);
    if (response.status != 200 || !parsed.ok()) return "failed: " + response.body;
    const Json& logprobs = (*parsed)["choices"][0]["logprobs"];
    EXPECT_GT(logprobs["token_logprobs"].size(), 10U);
    return logprobs["token_logprobs"].dump() + logprobs["top_logprobs"].dump();
  }

  static RawResponse ask(const ServerProcess& server, const std::string& model) {
    return tests::post_json(server.port(), "/v1/completions",
                            R"({"prompt":"x","max_tokens":2,"model":")" + model + "\"}");
  }
  std::string log() const { return (scratch_.path() / "log").string(); }
  std::string log_text() const {
    std::ifstream in(log());
    return {std::istreambuf_iterator<char>(in), {}};
  }

  static constexpr const char* kDemo = QUERN_SOURCE_DIR "/models/demo/stories260K.gguf";
  tests::ScratchDirectory scratch_;
};

TEST_F(Models, AnswersAreTheSameHoweverBusyTheOthersAre) {
  const std::string a = write("a.gguf", 1, "llama");
  const std::string b = write("b.gguf", 2, "qwen3");
  constexpr uint64_t kSeeds = 6;
  std::map<std::string, std::vector<std::string>> alone;
  for (const auto& [name, path] : {std::pair("a", a), std::pair("b", b)}) {
    ServerProcess server({path, "--alias", name});
    ASSERT_GT(server.port(), 0);
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      alone[name].push_back(answer(server, name, seed));
    }
  }
  EXPECT_NE(alone["a"], alone["b"]);
  ServerProcess server({a, b, "--max-sequences", "3"});
  ASSERT_GT(server.port(), 0);
  EXPECT_NE(server.summary().find("serving     \"a\", \"b\" at http"), std::string::npos)
      << server.summary();
  std::vector<std::thread> clients;
  std::atomic<int> wrong{0};
  for (const std::string name : {"a", "b"}) {
    for (uint64_t client = 0; client < 4; ++client) {
      clients.emplace_back([&, name, client] {
        for (uint64_t i = 0; i < kSeeds; ++i) {
          const uint64_t seed = (i + client) % kSeeds;
          wrong += answer(server, name, seed) != alone.at(name)[seed] ? 1 : 0;
        }
      });
    }
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  const auto metrics = tests::parse_exposition(tests::get(server.port(), "/metrics").body);
  ASSERT_TRUE(metrics.ok()) << metrics.error().message();
  const auto& gaps = metrics->at("quern_inter_token_latency_seconds").samples;
  for (const char* name : {"a", "b"}) {
    const double n = gaps.at({"quern_inter_token_latency_seconds_count", {{"model", name}}});
    EXPECT_EQ(n, 4 * kSeeds * 19) << name;
  }
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(10s), 0);
}

TEST_F(Models, TheOneThatIsNotUsedMakesRoom) {
  write("a.gguf", 1, "llama");
  write("b.gguf", 2, "llama");
  write("c-00002-of-00002.gguf", 3, "llama");
  std::ofstream(scratch_.path() / "broken.gguf") << "GGUF and no more";
  const std::vector<std::string> options = {"--model-dir", scratch_.path().string(), "--kv-cache",
                                            "1MiB"};
  uint64_t bytes = 0;
  std::string second;
  {
    const ServerProcess unlimited(options);
    ASSERT_GT(unlimited.port(), 0);
    second = answer(unlimited, "b", 1);
    bytes = unlimited.metrics("quern_model_bytes").get<uint64_t>();
  }
  // Room for one and a half.
  std::vector<std::string> limited = options;
  limited.insert(limited.end(), {"--model-memory", std::to_string(bytes + bytes / 2)});
  ServerProcess server(limited, (scratch_.path() / "log").string());
  ASSERT_GT(server.port(), 0);
  const auto loaded = [&] {
    std::vector<std::string> out;
    const auto ps = parse_json(tests::get(server.port(), "/api/ps").body);
    for (const Json& one : (*ps)["models"]) out.push_back(one["name"].get<std::string>());
    return out;
  };
  EXPECT_EQ(loaded(), std::vector<std::string>());
  const auto tags = parse_json(tests::get(server.port(), "/api/tags").body);
  EXPECT_EQ((*tags)["models"].size(), 2U);
  const std::string first = answer(server, "a", 1);
  EXPECT_EQ(loaded(), std::vector<std::string>{"a:latest"});
  EXPECT_EQ(answer(server, "b", 1), second);
  EXPECT_NE(second, first);
  EXPECT_EQ(loaded(), std::vector<std::string>{"b:latest"});
  EXPECT_EQ(answer(server, "a", 1), first);
  std::ifstream log(scratch_.path() / "log");
  const std::string text{std::istreambuf_iterator<char>(log), {}};
  EXPECT_NE(text.find("left out: "), std::string::npos) << text;
  EXPECT_NE(text.find("the model 'b' was unloaded"), std::string::npos) << text;
}

TEST_F(Models, AFileThatIsRewrittenIsLoadedAnew) {
  const std::string a = write("a.gguf", 1, "llama");
  ServerProcess server({a, "--alias", "a"});
  ASSERT_GT(server.port(), 0);
  const std::string before = answer(server, "a", 1);
  write("other.gguf", 9, "llama");
  std::ofstream(a, std::ios::binary | std::ios::in)
      << std::ifstream(scratch_.path() / "other.gguf", std::ios::binary).rdbuf();
  const std::string after = answer(server, "a", 1);
  EXPECT_NE(after, before);
  EXPECT_FALSE(after.starts_with("failed")) << after;
  EXPECT_EQ(answer(server, "a", 1), after);
}

TEST_F(Models, WhatCannotBeServedIsSaidAtTheStart) {
  const std::string a = write("a.gguf", 1, "llama");
  const struct {
    std::vector<std::string> options;
    const char* says;
  } kCases[] = {
      {{a, a}, "another model called 'a'"},
      {{a, "--alias", "x,y"}, "--alias gives 2 names to 1 models"},
      {{"--model-dir", "/nonexistent"}, "cannot be read"},
      {{a, "--keep-alive", "soon"}, "keep_alive is \"soon\""},
      {{a, "--model-memory", "1000"}, "all models together may take 1000"},
      {{a, (scratch_.path() / "missing.gguf").string()}, "missing.gguf"},
  };
  for (const auto& one : kCases) {
    const std::string log = (scratch_.path() / "log").string();
    ServerProcess server(one.options, log);
    EXPECT_EQ(server.port(), 0) << one.says;
    EXPECT_EQ(server.wait(10s), 1) << one.says;
    std::ifstream in(log);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    EXPECT_NE(text.find(one.says), std::string::npos) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  }
}

// One draft model beside two models, of which it fits one.
TEST_F(Models, ADraftModelIsUsedWhereItsVocabularyFits) {
  const std::string draft = write("draft.gguf", 7, "llama");
  const std::vector<std::string> both = {
      write("a.gguf", 1, "llama"), kDemo, "--alias", "a,demo", "--draft-model", draft};
  const std::string other =
      "from the text so far only: the draft model has another vocabulary: "
      "token ";
  {
    ServerProcess server(both, log());
    ASSERT_GT(server.port(), 0);
    EXPECT_NE(server.summary().find("from the text so far or with"), std::string::npos)
        << server.summary();
    EXPECT_EQ(ask(server, "demo").status, 200);
    EXPECT_NE(log_text().find(other), std::string::npos) << log_text();
    const auto metrics = tests::parse_exposition(tests::get(server.port(), "/metrics").body);
    ASSERT_TRUE(metrics.ok()) << metrics.error().message();
    const auto& draft_bytes = metrics->at("quern_draft_kv_bytes").samples;
    EXPECT_GT(draft_bytes.at({"quern_draft_kv_bytes", {{"model", "a"}}}), 0);
    EXPECT_EQ(draft_bytes.at({"quern_draft_kv_bytes", {{"model", "demo"}}}), 0);
    const auto& enabled = metrics->at("quern_speculation_enabled").samples;
    EXPECT_EQ(enabled.at({"quern_speculation_enabled", {{"model", "demo"}}}), 1);
  }
  {  // asked for
    std::vector<std::string> asked = both;
    asked.insert(asked.end(), {"--speculative", "draft"});
    const ServerProcess server(asked, log());
    ASSERT_GT(server.port(), 0);
    EXPECT_EQ(ask(server, "a").status, 200);
    const RawResponse refused = ask(server, "demo");
    EXPECT_EQ(refused.status, 500);
    EXPECT_NE(refused.body.find("another vocabulary"), std::string::npos) << refused.body;
  }
  // Named beside one model it is meant for that one.
  ServerProcess alone({kDemo, "--draft-model", draft}, log());
  EXPECT_EQ(alone.wait(10s), 1);
  EXPECT_NE(log_text().find("another vocabulary"), std::string::npos) << log_text();
}

TEST_F(Models, ADraftModelsMemoryIsKnownBeforeItIsLoaded) {
  const std::string a = write("a.gguf", 1, "llama");
  const auto bytes_of = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {a, "--alias", "a", "--no-preload"});
    const ServerProcess server(options);
    const auto before = server.metrics("quern_model_bytes").get<uint64_t>();
    EXPECT_EQ(ask(server, "a").status, 200);
    EXPECT_EQ(server.metrics("quern_model_bytes").get<uint64_t>(), before);
    return before;
  };
  const uint64_t without = bytes_of({});
  const uint64_t with = bytes_of({"--draft-model", write("draft.gguf", 7, "llama")});
  const uint64_t file = std::filesystem::file_size(scratch_.path() / "draft.gguf");
  EXPECT_GT(with, without + file);
}

TEST_F(Models, ALoadThatFailsIsLoggedOnce) {
  const std::string a = write("a.gguf", 1, "llama");
  const std::string b = write("b.gguf", 2, "llama");
  const ServerProcess server({a, b}, log());
  ASSERT_GT(server.port(), 0);
  std::ofstream(b, std::ios::binary | std::ios::trunc) << "GGUF and no more";
  EXPECT_EQ(ask(server, "b").status, 500);
  const std::string text = log_text();
  const std::string line = "the model 'b' was not loaded: ";
  const size_t first = text.find(line);
  ASSERT_NE(first, std::string::npos) << text;
  EXPECT_EQ(text.find(line, first + 1), std::string::npos) << text;
}

TEST_F(Models, TheLogAsJson) {
  const std::string log = (scratch_.path() / "log").string();
  ServerProcess server({write("a.gguf", 1, "llama"), "--no-preload", "--log-format", "json"}, log);
  ASSERT_GT(server.port(), 0);
  answer(server, "a", 1);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(10s), 0);
  std::ifstream in(log);
  bool request_seen = false;
  int n_lines = 0;
  for (std::string line; std::getline(in, line); ++n_lines) {
    const auto parsed = parse_json(line);
    ASSERT_TRUE(parsed.ok()) << line;
    if ((*parsed)["message"] != "request") continue;
    request_seen = true;
    EXPECT_EQ((*parsed)["completion_tokens"], 20);
    EXPECT_GT((*parsed)["ttft_ms"], 0);
  }
  EXPECT_TRUE(request_seen);
  EXPECT_GT(n_lines, 5);  // what was loaded and how is there too
}

}  // namespace
}  // namespace quern::testing
