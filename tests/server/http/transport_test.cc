// The server over real sockets: catalogue of hostile and merely odd clients (H-01 to H-36).
#include <gtest/gtest.h>

#include <thread>

#include "transport_fixture.h"

namespace quern::http {
namespace {

struct WireCase {
  const char* name;
  std::string request;
  int status;
  std::string body = "";  // expected, unless empty
};

std::vector<WireCase> wire_cases() {
  return {
      {"plain", "GET /hello HTTP/1.1\r\n" + kHost + "\r\n", 200, "hello"},
      {"leading empty lines", "\r\n\r\nGET /hello HTTP/1.1\r\n" + kHost + "\r\n", 200, "hello"},
      {"HTTP/1.0", "GET /hello HTTP/1.0\r\n\r\n", 200, "hello"},
      {"H-10 bare LF", "GET /hello HTTP/1.1\nHost: localhost\n\n", 400},
      {"H-10 space before colon", "GET /hello HTTP/1.1\r\nHost : localhost\r\n\r\n", 400},
      {"H-11 version", "GET /hello HTTP/1.2\r\n" + kHost + "\r\n", 505},
      {"H-11 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"H-11 TLS hello", std::string("\x16\x03\x01\x00\x05\x01\n\x00\x01\x03\r\n\r\n", 14), 400},
      {"H-12 other method", "DELETE /hello HTTP/1.1\r\n" + kHost + "\r\n", 405},
      {"H-12 lower case", "get /hello HTTP/1.1\r\n" + kHost + "\r\n", 405},
      {"H-13 OPTIONS", "OPTIONS /echo HTTP/1.1\r\n" + kHost + "\r\n", 204},
      {"H-14 absolute", "GET http://localhost/hello HTTP/1.1\r\n" + kHost + "\r\n", 200, "hello"},
      {"H-14 double slash", "GET //hello HTTP/1.1\r\n" + kHost + "\r\n", 404},
      {"H-14 dots", "GET /x/%2e%2e/hello HTTP/1.1\r\n" + kHost + "\r\n", 404},
      {"H-16 GET with body", "GET /hello HTTP/1.1\r\n" + kHost + "Content-Length: 3\r\n\r\nabc",
       200, "hello"},
      {"H-17 two lengths",
       "POST /echo HTTP/1.1\r\n" + kHost + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
      {"H-18 length and coding",
       "POST /echo HTTP/1.1\r\n" + kHost +
           "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"chunked",
       "POST /echo HTTP/1.1\r\n" + kHost +
           "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: r\r\n\r\n",
       200, "abcde"},
      {"H-20 negative chunk",
       "POST /echo HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n", 400},
      {"H-23 expect",
       "POST /echo HTTP/1.1\r\n" + kHost + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
       200, "ab"},
      {"H-24 form type",
       "POST /echo HTTP/1.1\r\n" + kHost +
           "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n{\"a\": "
           "1}\n",
       200, "{\"a\": 1}\n"},
      {"H-25 gzip",
       "POST /echo HTTP/1.1\r\n" + kHost + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
       415},
      {"H-28 no host", "GET /hello HTTP/1.1\r\n\r\n", 400},
      {"H-28 empty host", "GET /hello HTTP/1.1\r\nHost:\r\n\r\n", 403},
      {"H-28 foreign host", "GET /hello HTTP/1.1\r\nHost: attacker.test\r\n\r\n", 403},
      {"A-08 foreign origin",
       "POST /echo HTTP/1.1\r\n" + kHost + "Origin: https://evil.test\r\nContent-Length: 0\r\n\r\n",
       403},
      {"exception", "GET /throw HTTP/1.1\r\n" + kHost + "\r\n", 500},
      {"no answer", "GET /nothing HTTP/1.1\r\n" + kHost + "\r\n", 500},
  };
}

TEST_F(Transport, WireCasesWholeAndByteByByte) {
  start();
  for (const WireCase& c : wire_cases()) {
    SCOPED_TRACE(c.name);
    const RawResponse whole = fetch(port_, c.request);
    EXPECT_EQ(whole.status, c.status);
    EXPECT_TRUE(whole.complete);
    EXPECT_EQ(whole.body.find("secret"), std::string::npos);
    if (!c.body.empty()) {
      EXPECT_EQ(whole.body, c.body);
    }
    RawClient slow(port_);
    slow.send_slowly(c.request);  // H-35
    EXPECT_EQ(slow.read_response().status, c.status);
  }
  expect_alive();
}

TEST_F(Transport, SizesOverTheLimits) {
  ServerOptions options;
  options.limits.max_body_bytes = 1000;
  start(std::move(options));
  const std::string long_header = "X: " + std::string(32768, 'a') + "\r\n";
  EXPECT_EQ(fetch(port_, "GET /hello HTTP/1.1\r\n" + kHost + long_header + "\r\n").status, 431);
  EXPECT_EQ(
      fetch(port_, "GET /" + std::string(8193, 'a') + " HTTP/1.1\r\n" + kHost + "\r\n").status,
      414);
  EXPECT_EQ(fetch(port_, "GET /hello HTTP/1.1\r\n" + kHost + std::string(200000, 'a')).status, 431);
  const auto echo = [&](size_t n) {
    return fetch(port_, "POST /echo HTTP/1.1\r\n" + kHost + "Content-Length: " + std::to_string(n) +
                            "\r\n\r\n" + std::string(n, 'b'));
  };
  EXPECT_EQ(echo(1000).body.size(), 1000U);  // H-26
  EXPECT_EQ(echo(1001).status, 413);
  std::string chunks = "POST /echo HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 200; ++i) chunks += "10\r\n0123456789abcdef\r\n";  // H-21
  EXPECT_EQ(fetch(port_, chunks).status, 413);
  // H-23: refused before the body is asked for.
  RawClient expecting(port_);
  expecting.send("POST /echo HTTP/1.1\r\n" + kHost +
                 "Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
  EXPECT_EQ(expecting.read_response().status, 413);
  EXPECT_EQ(expecting.interim_responses(), 0);
  expect_alive();
}

TEST_F(Transport, HeadersAreSafeAndIdsAreEchoedWhenHarmless) {
  start();
  const RawResponse response = tests::get(port_, "/hello", "X-Request-Id: abc-1\r\n");
  EXPECT_EQ(response.header("x-request-id"), "abc-1");
  EXPECT_EQ(response.header("x-evil"), "");
  EXPECT_EQ(response.header("x-odd"), "a??x-evil: b");
  const RawResponse odd = tests::get(port_, "/hello", "X-Request-Id: a%0d%0ab\r\n");  // H-30
  EXPECT_TRUE(odd.header("x-request-id").starts_with("req-"));
  const RawResponse head = fetch(port_, "HEAD /hello HTTP/1.1\r\n" + kHost + "\r\n");
  EXPECT_EQ(head.header("content-length"), "5");
  EXPECT_EQ(fetch(port_, "DELETE /hello HTTP/1.1\r\n" + kHost + "\r\n").header("allow"),
            "GET, HEAD");
}

TEST_F(Transport, PipelinedRequestsAreAnsweredInOrder) {
  start();
  RawClient client(port_);
  std::string all;
  for (int i = 0; i < 10; ++i) {
    all += "POST /echo HTTP/1.1\r\n" + kHost + "Content-Length: 1\r\n\r\n" + std::to_string(i);
  }
  client.send(all);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client.read_response().body, std::to_string(i));
}

// The client waits for an answer before it sends the second half of what it began.
TEST_F(Transport, EmptyLinesMayArriveInPieces) {
  start();
  RawClient client(port_);
  const std::string request = "POST /echo HTTP/1.1\r\n" + kHost + "Content-Length: 2\r\n\r\nab";
  for (const char* left_over : {"\r", "\r\n", "\r\n\r", "\r\n\r\n", ""}) {
    SCOPED_TRACE(testing::PrintToString(left_over));
    client.send(request + left_over);
    EXPECT_EQ(client.read_response().body, "ab");
    const std::string_view sent(left_over);
    client.send((sent.ends_with('\r') ? "\n" : "") + request);
    EXPECT_EQ(client.read_response().body, "ab");
  }
}

TEST_F(Transport, SlowHeadsAndBodiesRunIntoTheirDeadlines) {
  ServerOptions options;
  options.limits.head_deadline = 300ms;
  options.limits.keep_alive = 300ms;
  options.limits.body_grace = 300ms;
  start(std::move(options));
  RawClient silent(port_);  // H-01
  RawClient slow_head(port_);
  slow_head.send("GET /hello HTTP/1.1\r\nHo");
  RawClient slow_body(port_);  // H-03, H-04
  slow_body.send("POST /echo HTTP/1.1\r\n" + kHost + "Content-Length: 10\r\n\r\nab");
  RawClient cut_body(port_);
  cut_body.send("POST /echo HTTP/1.1\r\n" + kHost + "Content-Length: 10\r\n\r\nab");
  cut_body.half_close();
  EXPECT_EQ(slow_head.read_response().status, 408);
  EXPECT_EQ(slow_body.read_response().status, 408);
  EXPECT_TRUE(cut_body.closed_within(2s));
  EXPECT_TRUE(silent.closed_within(2s));
  expect_alive();
}

TEST_F(Transport, ManyIdleConnectionsDoNotDelayARequest) {
  ServerOptions options;
  options.limits.max_workers = 2;
  // Longer than the client waits: an idle connection that held a worker would fail the test.
  options.limits.head_deadline = 60s;
  options.limits.keep_alive = 60s;
  start(std::move(options));
  std::vector<std::unique_ptr<RawClient>> idle;  // H-02, H-06
  for (int i = 0; i < 200; ++i) {
    idle.push_back(std::make_unique<RawClient>(port_));
    ASSERT_TRUE(idle.back()->connected());
    if (i % 2 == 0) idle.back()->send("GET /hello HT");
  }
  expect_alive();
  idle[0]->send("TP/1.1\r\n" + kHost + "\r\n");
  EXPECT_EQ(idle[0]->read_response().body, "hello");
}

TEST_F(Transport, TooManyConnectionsGetA503) {
  ServerOptions options;
  options.limits.max_connections = 4;
  start(std::move(options));
  std::vector<std::unique_ptr<RawClient>> held;
  for (int i = 0; i < 4; ++i) held.push_back(std::make_unique<RawClient>(port_));
  ASSERT_TRUE(eventually([&] { return server_->counters().open == 4; }));
  const RawResponse refused = tests::get(port_, "/hello");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("retry-after"), "1");
  held.clear();
  ASSERT_TRUE(eventually([&] { return server_->counters().open == 0; }));
  expect_alive();
}

TEST_F(Transport, BusyWorkersGiveA503WhileHealthAnswers) {
  ServerOptions options;
  options.limits.max_workers = 2;
  options.limits.max_waiting = 1;
  start(std::move(options));
  std::vector<std::unique_ptr<RawClient>> busy;
  const std::string wait = "POST /wait HTTP/1.1\r\n" + kHost + "Content-Length: 0\r\n\r\n";
  for (int i = 0; i < 2; ++i) {
    busy.push_back(std::make_unique<RawClient>(port_));
    busy.back()->send(wait);
    ASSERT_TRUE(eventually([&] { return gate_.inside.load() == i + 1; }));
  }
  RawClient queued(port_);
  queued.send(wait);
  ASSERT_TRUE(eventually([&] { return server_->counters().busy == 3; }));
  EXPECT_EQ(tests::get(port_, "/hello").status, 503);
  EXPECT_EQ(tests::get(port_, "/health").body, "ok");
  gate_.open.store(true);
  for (auto& client : busy) EXPECT_EQ(client->read_response().body, "waited");
  EXPECT_EQ(queued.read_response().body, "waited");
}

TEST_F(Transport, DisconnectsAreSeenAndHalfClosesAreAnswered) {
  start();
  const std::string wait = "POST /wait HTTP/1.1\r\n" + kHost + "Content-Length: 0\r\n\r\n";
  RawClient reset(port_);
  reset.send(wait);
  ASSERT_TRUE(eventually([&] { return gate_.inside.load() == 1; }));
  reset.reset();
  EXPECT_TRUE(eventually([&] { return gate_.saw_gone.load() == 1; }));
  RawClient closed(port_);
  closed.send(wait);
  ASSERT_TRUE(eventually([&] { return gate_.inside.load() == 2; }));
  closed.close();
  EXPECT_TRUE(eventually([&] { return gate_.saw_gone.load() == 2; }));
  RawClient half(port_);  // H-33
  half.send(wait);
  half.half_close();
  ASSERT_TRUE(eventually([&] { return gate_.inside.load() == 3; }));
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(gate_.saw_gone.load(), 2);
  gate_.open.store(true);
  EXPECT_EQ(half.read_response().body, "waited");
}

TEST_F(Transport, AClientThatDoesNotReadIsDropped) {
  ServerOptions options;
  options.limits.write_stall = 200ms;
  start(std::move(options));
  RawClient slow(port_, 4096);  // H-05
  slow.send("GET /flood HTTP/1.1\r\n" + kHost + "\r\n");
  EXPECT_TRUE(eventually([&] { return gate_.saw_gone.load() == 1; }, 5s));
  RawClient vanishing(port_);  // H-36
  vanishing.send("GET /flood HTTP/1.1\r\n" + kHost + "\r\n");
  vanishing.read_response(200ms, true);
  vanishing.reset();
  EXPECT_TRUE(eventually([&] { return gate_.saw_gone.load() == 2; }));
  expect_alive();
}

TEST_F(Transport, ResetsAtAnyByteLeaveNothingBehind) {
  start();
  const std::string request = "POST /echo HTTP/1.1\r\n" + kHost + "Content-Length: 4\r\n\r\nabcd";
  for (size_t i = 0; i <= request.size(); i += 3) {  // H-34
    RawClient client(port_);
    client.send(std::string_view(request).substr(0, i));
    client.reset();
  }
  EXPECT_TRUE(eventually([&] { return server_->counters().open == 0; }));
  EXPECT_EQ(server_->counters().busy, 0);
  expect_alive();
}

TEST_F(Transport, KeysAreCheckedBeforeTheBodyAndOnUnknownPaths) {
  ServerOptions options;
  options.access.api_keys = {"k1"};
  start(std::move(options));
  RawClient client(port_);
  client.send("POST /echo HTTP/1.1\r\n" + kHost + "Content-Length: 100000\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 401);
  EXPECT_EQ(tests::get(port_, "/unknown").status, 401);
  EXPECT_EQ(tests::get(port_, "/%2e/hello").status, 401);
  EXPECT_EQ(tests::get(port_, "/hello?api_key=k1").status, 401);
  EXPECT_EQ(tests::get(port_, "/health").status, 200);
  EXPECT_EQ(tests::get(port_, "/hello", "Authorization: Bearer k1\r\n").status, 200);
}

TEST_F(Transport, PreflightGivesTheExactOrigin) {
  start();
  const RawResponse response =
      fetch(port_, "OPTIONS /echo HTTP/1.1\r\n" + kHost +
                       "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: POST\r\n"
                       "Access-Control-Request-Headers: x-stainless-os\r\n\r\n");
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.header("access-control-allow-origin"), "http://localhost:3000");
  EXPECT_EQ(response.header("access-control-allow-headers"), "x-stainless-os");
  EXPECT_EQ(response.header("access-control-allow-credentials"), "");
  EXPECT_EQ(response.header("vary"), "origin");
}

TEST_F(Transport, ABusyPortIsOneSentence) {
  start();
  ServerOptions options;
  options.host = "127.0.0.1";
  options.port = port_;
  options.error_body = plain_error;
  const auto second = HttpServer::create(std::move(options), Router());
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message().find("another program uses that port"), std::string::npos);
}

TEST_F(Transport, StopsWhileRequestsAreInProgress) {
  start();
  RawClient client(port_);
  client.send("POST /wait HTTP/1.1\r\n" + kHost + "Content-Length: 0\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return gate_.inside.load() == 1; }));
  server_->stop_accepting();
  EXPECT_TRUE(eventually([&] { return !RawClient(port_).connected(); }));
  EXPECT_FALSE(server_->wait_idle(std::chrono::steady_clock::now() + 20ms));
  server_->stop();
  EXPECT_EQ(gate_.saw_gone.load(), 1);
}

}  // namespace
}  // namespace quern::http
