// The server as a process: signals end it the agreed way, and a second process finds on disk what
// the first one computed.
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "server_process.h"
#include "tests/engine/store/scratch_directory.h"
#include "tests/server/support/raw_client.h"

namespace quern::testing {
namespace {

using namespace std::chrono_literals;
using tests::RawClient;
using tests::RawResponse;

const std::vector<std::string> kSmallest = {"-m", "stories260k"};

std::string streaming_request(int max_tokens) {
  const Json body = {{"prompt", "Once upon a time"},
                     {"stream", true},
                     {"ignore_eos", true},
                     {"max_tokens", max_tokens}};
  const std::string text = body.dump();
  return "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
         std::to_string(text.size()) + "\r\n\r\n" + text;
}

TEST(Serve, AnIdleServerEndsAtOnce) {
  for (const int number : {SIGTERM, SIGINT}) {
    ServerProcess server;
    ASSERT_GT(server.port(), 0);
    server.signal(number);
    EXPECT_EQ(server.wait(3s), 0);
  }
}

// What a server without arguments offers, and what it calls it.
TEST(Serve, ServesADemoModelByDefault) {
  const ServerProcess server;
  ASSERT_GT(server.port(), 0);
  EXPECT_NE(server.summary().find("model       tales5M (llama, "), std::string::npos)
      << server.summary();
  EXPECT_NE(server.summary().find("serving     \"tales5m\" at"), std::string::npos)
      << server.summary();
  const auto listed = parse_json(tests::get(server.port(), "/v1/models").body);
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ((*listed)["data"][0]["id"], "tales5m");
  const auto tags = parse_json(tests::get(server.port(), "/api/tags").body);
  ASSERT_TRUE(tags.ok());
  EXPECT_EQ((*tags)["models"][0]["name"], "tales5m:latest");
  EXPECT_EQ((*tags)["models"][0]["details"]["quantization_level"], "Q8_0");
}

TEST(Serve, RunningStreamsFinishAfterSigterm) {
  ServerProcess server(kSmallest);
  ASSERT_GT(server.port(), 0);
  RawClient client(server.port());
  client.send(streaming_request(300));
  std::this_thread::sleep_for(100ms);
  server.signal(SIGTERM);
  const RawResponse response = client.read_response(30s);
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(response.body.find("data: [DONE]"), std::string::npos);
  EXPECT_EQ(server.wait(5s), 0);
}

TEST(Serve, WhatIsLeftAtTheEndOfTheDrainIsToldSo) {
  ServerProcess server({"-m", "stories260k", "--drain-timeout", "0", "--max-sequences", "1"});
  ASSERT_GT(server.port(), 0);
  // One of them runs and the other waits in the queue; which one is not determined.
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port()));
    clients.back()->send(streaming_request(500));
  }
  std::this_thread::sleep_for(100ms);
  server.signal(SIGTERM);
  for (const auto& client : clients) {
    const RawResponse response = client->read_response(5s);
    const auto says = [&](const char* text) {
      return response.body.find(text) != std::string::npos;
    };
    // A stream that ran is told inside, unless it was quick enough to finish.
    EXPECT_TRUE(response.status == 503 || says("shutting down") || says("[DONE]"))
        << response.status << " " << response.body;
  }
  EXPECT_EQ(server.wait(5s), 0);
}

constexpr const char* kPrompt =
    "The big dog was very sad because he could not find his red ball. He looked in the house, in "
    "the garden and under the old tree, and then he asked his friend the cat to help him.";

TEST(Serve, ASecondProcessFindsWhatTheFirstOneComputed) {
  const tests::ScratchDirectory scratch;
  const std::vector<std::string> options = {"-m", "stories260k", "--prefix-cache-dir",
                                            scratch.path().string()};
  Json cold;
  {
    ServerProcess first(options);
    ASSERT_GT(first.port(), 0);
    std::this_thread::sleep_for(300ms);  // the model is identified meanwhile
    cold = first.ask(kPrompt);
    EXPECT_EQ(cold["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    first.signal(SIGTERM);
    ASSERT_EQ(first.wait(10s), 0);
  }
  // Two at once on one directory.
  ServerProcess second(options);
  ServerProcess third(options);
  ASSERT_GT(second.port(), 0);
  ASSERT_GT(third.port(), 0);
  std::this_thread::sleep_for(300ms);
  for (const ServerProcess* server : {&second, &third}) {
    const Json warm = server->ask(kPrompt);
    EXPECT_EQ(warm["choices"][0]["text"], cold["choices"][0]["text"]);
    EXPECT_GE(warm["usage"]["prompt_tokens_details"]["cached_tokens"], 32);
    EXPECT_GT(server->metrics("quern_disk_pages_restored_total"), 0);
  }
}

// Killed at any moment, the directory serves the next one.
TEST(Serve, AKilledProcessLeavesNoHalfPages) {
  const tests::ScratchDirectory scratch;
  const std::vector<std::string> options = {"-m", "stories260k", "--prefix-cache-dir",
                                            scratch.path().string()};
  Json expected;
  for (int round = 0; round < 6; ++round) {
    ServerProcess server(options);
    ASSERT_GT(server.port(), 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(60 * round));
    const Json answer = server.ask(kPrompt);
    if (round == 0) expected = answer["choices"][0]["text"];
    EXPECT_EQ(answer["choices"][0]["text"], expected);
    EXPECT_EQ(server.metrics("quern_disk_pages_damaged_total"), 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * round));
    server.signal(SIGKILL);
    EXPECT_EQ(server.wait(5s), 128 + SIGKILL);
  }
}

// One model, two adapters, all three asked for at once, again and again: each has its own answer.
TEST(Serve, AdaptersAnswerAsModelsOfTheirOwn) {
  const std::string goldens = QUERN_SOURCE_DIR "/tests/golden/";
  const std::string adapter = goldens + "adapters/llama/adapter.gguf";
  ServerProcess server({goldens + "arch/llama_untied_bias.gguf", "--alias", "base", "--lora",
                        "one=" + adapter, "--lora", "two=" + adapter + ":-0.5"});
  ASSERT_GT(server.port(), 0);
  EXPECT_NE(server.summary().find("serving     \"base\", \"base:one\", \"base:two\" at"),
            std::string::npos)
      << server.summary();
  const std::vector<std::string> models = {"base", "base:one", "base:two"};
  const auto ask = [&](const std::string& model) {
    const Json body = {{"model", model},   {"prompt", "a b c d e f"},
                       {"max_tokens", 30}, {"temperature", 1.0},
                       {"seed", 7},        {"ignore_eos", true}};
    const RawResponse response = tests::post_json(server.port(), "/v1/completions", body.dump());
    EXPECT_EQ(response.status, 200) << response.body;
    const auto parsed = parse_json(response.body);
    return parsed.ok() ? (*parsed)["choices"][0]["text"].get<std::string>() : std::string();
  };
  std::vector<std::string> alone;
  for (const std::string& model : models) alone.push_back(ask(model));
  EXPECT_NE(alone[0], alone[1]);
  EXPECT_NE(alone[0], alone[2]);
  EXPECT_NE(alone[1], alone[2]);
  std::vector<std::thread> clients;
  for (size_t i = 0; i < 6; ++i) {
    clients.emplace_back([&, i] {
      for (int round = 0; round < 4; ++round) EXPECT_EQ(ask(models[i % 3]), alone[i % 3]);
    });
  }
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace quern::testing
