// Whole runs: against our own server with an engine of known answers, and against scripted ones
// that are slow, broken, full or no servers at all.
#include "server/loadgen/load_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "server/api/app/app.h"
#include "server/loadgen/fetch.h"
#include "tests/server/fakes/fake_engine.h"
#include "tests/server/support/scripted_server.h"

namespace quern::loadgen {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using tests::ScriptedConnection;
using tests::ScriptedServer;

constexpr const char* kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

std::string piece(const std::string& text) {
  return "data: {\"choices\":[{\"text\":\"" + text + "\",\"finish_reason\":null}]}\n\n";
}

struct Load {
  RunOptions run;
  http::Destination destination;
  Workload workload;
};

Load load_for(int port, bool chat = false) {
  RunOptions run;
  run.target = *parse_target("http://127.0.0.1:" + std::to_string(port), chat);
  run.n_requests = 1;
  run.timeout = 20;
  WorkloadOptions work;
  work.chat = chat;
  work.prompt_words = *Lengths::parse("3", "words");
  work.max_tokens = *Lengths::parse("5", "tokens");
  Workload workload(work);
  workload.set_model("tiny");
  return {run, *http::Destination::look_up("127.0.0.1", port), std::move(workload)};
}

Tally run(const Load& load) { return run_load(load.run, load.destination, load.workload); }

// One request to a server that answers so; it must fail, and only so.
FailureCount failure_of(const std::function<void(ScriptedConnection&)>& script,
                        const std::string& name) {
  ScriptedServer server(script);
  const Tally tally = run(load_for(server.port()));
  EXPECT_EQ(tally.n_failed, 1U);
  EXPECT_EQ(tally.n_answered, 0U);
  EXPECT_EQ(tally.completion_tokens, 0U);
  EXPECT_EQ(tally.failures.size(), 1U);
  const auto found = tally.failures.find(name);
  EXPECT_NE(found, tally.failures.end())
      << (tally.failures.empty() ? "" : tally.failures.begin()->first);
  return found == tally.failures.end() ? FailureCount() : found->second;
}

class OwnServer : public testing::Test {
 protected:
  void serve(const tests::FakeBehaviour& behaviour, std::vector<std::string> keys = {}) {
    model_.engine.set(behaviour);
    api::AppOptions options;
    options.port = 0;
    options.host = "127.0.0.1";
    options.api_keys = std::move(keys);
    auto app = api::App::create(options, {model_.served()});
    ASSERT_TRUE(app.ok()) << app.error().message();
    app_ = std::move(*app);
    ASSERT_TRUE(app_->start().ok());
  }

  tests::FakeModel model_;
  std::unique_ptr<api::App> app_;
};

TEST_F(OwnServer, ClosedLoopCountsEveryTokenAndPiece) {
  serve({.answer = "Hello, world"});
  Load load = load_for(app_->port());
  load.run.clients = 4;
  load.run.n_requests = 20;
  load.run.n_warm_up = 3;
  const Tally tally = run(load);
  EXPECT_EQ(tally.n_answered, 20U);
  EXPECT_EQ(tally.n_failed, 0U);
  EXPECT_EQ(tally.completion_tokens, 20U * 5) << "max_tokens is 5";
  EXPECT_EQ(tally.tokens_from(), "usage");
  EXPECT_EQ(tally.gap.count(), 20U * 4);
  EXPECT_EQ(tally.longest_gap.count(), 20U);
  EXPECT_EQ(tally.n_late, 0U);
  EXPECT_EQ(model_.engine.requests().size(), 23U);
}

TEST_F(OwnServer, ChatWithAKeyAndTheListedModel) {
  serve({.answer = "Hello, world"}, {"secret"});
  Load load = load_for(app_->port(), true);
  EXPECT_FALSE(first_model(load.run.target, load.destination, "").ok());
  const auto model = first_model(load.run.target, load.destination, "secret");
  ASSERT_TRUE(model.ok()) << model.error().message();
  EXPECT_EQ(*model, "tiny");
  EXPECT_EQ(run(load).failures.count("http_401"), 1U);
  load.run.key = "secret";
  const Tally tally = run(load);
  EXPECT_EQ(tally.n_answered, 1U);
  EXPECT_EQ(tally.completion_tokens, 5U);
  EXPECT_EQ(tally.gap.count(), 4U) << "the role is no piece of text";
}

TEST_F(OwnServer, LatenciesHoldWhatTheServerTakes) {
  serve({.answer = "Hello", .before_first = 60ms, .between_tokens = 20ms});
  Load load = load_for(app_->port());
  load.run.clients = 2;
  load.run.n_requests = 4;
  const Tally tally = run(load);
  ASSERT_EQ(tally.n_answered, 4U);
  EXPECT_GE(tally.first_text.least(), 0.06);
  EXPECT_GE(tally.end_to_end.least(), 0.06 + 4 * 0.02);
  EXPECT_GE(tally.gap.mean(), 0.015);
  EXPECT_GE(tally.longest_gap.least(), tally.gap.least());
  EXPECT_GE(tally.last_end, 2 * (0.06 + 4 * 0.02));
}

TEST_F(OwnServer, AFullQueueIsCountedAsSuch) {
  serve({.busy = true});
  Load load = load_for(app_->port());
  load.run.n_requests = 2;
  EXPECT_EQ(run(load).failures["http_503"].count, 2U);
  serve({.busy = true, .share_full = true});
  load = load_for(app_->port());
  const Tally tally = run(load);
  EXPECT_THAT(tally.failures.at("http_429").first_message, HasSubstr("queue"));
}

TEST_F(OwnServer, AnErrorInsideTheStreamIsNoAnswer) {
  serve({.answer = "Hello", .fail_after_tokens = 2});
  const Tally tally = run(load_for(app_->port()));
  EXPECT_EQ(tally.n_answered, 0U);
  EXPECT_THAT(tally.failures.at("stream_error").first_message, HasSubstr("on purpose"));
}

// Requests are to start every millisecond, but the server takes 30 ms each and there is place for
// one at a time. What they wait for that place counts.
TEST(LoadRun, NoOmissionIsCoordinated) {
  ScriptedServer server([](ScriptedConnection& connection) {
    connection.read_request();
    std::this_thread::sleep_for(30ms);
    connection.send(kStreamHead + piece("a") + "data: [DONE]\n\n");
  });
  Load load = load_for(server.port());
  load.run.rate = 1000;
  load.run.arrivals = ArrivalKind::kFixed;
  load.run.max_in_flight = 1;
  load.run.n_requests = 6;
  const Tally tally = run(load);
  ASSERT_EQ(tally.n_answered, 6U);
  EXPECT_GE(tally.n_late, 5U);
  EXPECT_GE(tally.latest, 5 * 0.029);
  EXPECT_GE(tally.end_to_end.most(), 6 * 0.03 - 5 * 0.001);
  EXPECT_GE(tally.first_text.most(), 6 * 0.03 - 5 * 0.001);
  EXPECT_GE(tally.end_to_end.mean(), 3.5 * 0.03 - 2.5 * 0.001);
}

// With place for all, a slow answer holds nobody up.
TEST(LoadRun, AnOpenLoopDoesNotWaitForAnswers) {
  std::atomic<int> waiting{0};
  ScriptedServer server([&](ScriptedConnection& connection) {
    connection.read_request();
    ++waiting;
    for (int i = 0; i < 2000 && waiting < 8; ++i) std::this_thread::sleep_for(5ms);
    connection.send(kStreamHead + piece("a") + "data: [DONE]\n\n");
  });
  Load load = load_for(server.port());
  load.run.rate = 200;
  load.run.n_requests = 8;
  EXPECT_EQ(run(load).n_answered, 8U) << "all eight have to be there before one is answered";
}

TEST(LoadRun, ADurationEndsTheStarts) {
  ScriptedServer server([](ScriptedConnection& connection) {
    connection.read_request();
    connection.send(kStreamHead + piece("a") + "data: [DONE]\n\n");
  });
  Load load = load_for(server.port());
  load.run.rate = 100;
  load.run.arrivals = ArrivalKind::kFixed;
  load.run.n_requests = 1000000;
  load.run.duration = 0.2;
  EXPECT_EQ(run(load).n_answered, 20U) << "those that were to start before 0.2 s";
}

TEST(LoadRun, CountsPiecesWithoutUsage) {
  ScriptedServer server([](ScriptedConnection& connection) {
    connection.read_request();
    connection.send(kStreamHead);
    for (const char* text : {"a", "b", "", "c"}) connection.send(piece(text));
    connection.send("data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n");
  });
  const Tally tally = run(load_for(server.port()));
  EXPECT_EQ(tally.n_answered, 1U) << "a reason and a close are an end, too";
  EXPECT_EQ(tally.completion_tokens, 3U);
  EXPECT_EQ(tally.tokens_from(), "pieces");
}

TEST(LoadRun, TheRequestIsWhatAServerExpects) {
  std::string head;
  std::string body;
  {
    ScriptedServer server([&](ScriptedConnection& connection) {
      body = connection.read_request();
      head = connection.head();
      connection.send(kStreamHead + piece("a") + "data: [DONE]\n\n");
    });
    Load load = load_for(server.port());
    load.run.key = "k";
    EXPECT_EQ(run(load).n_answered, 1U);
    EXPECT_THAT(head, HasSubstr("Host: 127.0.0.1:" + std::to_string(server.port()) + "\r\n"));
  }
  EXPECT_THAT(head, HasSubstr("POST /v1/completions HTTP/1.1\r\n"));
  EXPECT_THAT(head, HasSubstr("Authorization: Bearer k\r\n"));
  EXPECT_TRUE(parse_json(body).ok()) << body;
}

TEST(LoadRun, NobodyThere) {
  int port = 0;
  {
    ScriptedServer gone([](ScriptedConnection&) {});
    port = gone.port();
  }
  Load load = load_for(port);
  load.run.n_requests = 3;
  load.run.clients = 2;
  const Tally tally = run(load);
  EXPECT_EQ(tally.failures.at("connect").count, 3U);
  const auto model = first_model(load.run.target, load.destination, "");
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.error().message(), HasSubstr("--model"));
}

TEST(LoadRun, EveryKindOfTroubleHasItsName) {
  const auto answer = [](const std::string& bytes) {
    return [bytes](ScriptedConnection& connection) {
      connection.read_request();
      connection.send(bytes);
    };
  };
  const std::string head = kStreamHead;
  const auto full = failure_of(
      answer("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 30\r\n\r\n{\"error\":{\"message\":"
             "\"later\"}}  "),
      "http_429");
  EXPECT_EQ(full.first_message, "later");
  failure_of(answer("HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\ncut"), "http_503");
  failure_of(answer("HTTP/1.1 500 Oh\r\n\r\n" + std::string(200000, 'x')), "http_500");
  failure_of(answer("SSH-2.0-OpenSSH_9.2\r\n"), "malformed");
  failure_of(
      answer("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
      "malformed");
  failure_of(answer(head + "data: {\"choi\n\n"), "malformed");
  failure_of(answer(head + "data: " + std::string(size_t{17} << 20, 'x')), "malformed");
  failure_of(answer(""), "broken");
  failure_of(answer("HTTP/1.1 200 OK\r\nContent-Ty"), "broken");
  failure_of(answer(head), "broken");
  failure_of(answer(head + piece("a") + piece("b")), "broken");
  failure_of(answer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n5\r\ndata:"),
             "broken");
  failure_of(answer(head + piece("a") + "data: {\"error\":{\"message\":\"oh\"}}\n\n"),
             "stream_error");
  failure_of(answer(head + "data: [DONE]\n\n"), "empty");
  failure_of(
      [&](ScriptedConnection& connection) {
        connection.read_request();
        connection.send(head + piece("a"));
        connection.reset();
      },
      "broken");
}

TEST(LoadRun, WhatDoesNotEndIsGivenUp) {
  ScriptedServer server([](ScriptedConnection& connection) {
    connection.read_request();
    if (connection.index() == 1) connection.send(kStreamHead + piece("a"));
    connection.wait_for_close();
  });
  Load load = load_for(server.port());
  load.run.clients = 2;
  load.run.n_requests = 2;
  load.run.timeout = 0.2;
  const Tally tally = run(load);
  EXPECT_EQ(tally.failures.at("timeout").count, 2U);
  EXPECT_GE(tally.last_end, 0.2);
}

TEST(LoadRun, ALargeRequestIsSentWhole) {
  std::atomic<size_t> received{0};
  ScriptedServer server([&](ScriptedConnection& connection) {
    std::this_thread::sleep_for(50ms);  // until the kernel takes no more
    received = connection.read_request().size();
    connection.send(kStreamHead + piece("a") + "data: [DONE]\n\n");
  });
  Load load = load_for(server.port());
  WorkloadOptions work;
  work.prompt_words = *Lengths::parse("1000000", "words");
  work.max_tokens = *Lengths::parse("5", "tokens");
  const Workload workload(work);
  EXPECT_EQ(run_load(load.run, load.destination, workload).n_answered, 1U);
  EXPECT_EQ(received, workload.body(0).size());
}

}  // namespace
}  // namespace quern::loadgen
