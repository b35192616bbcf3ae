// The answers that the HTTP library writes, over real sockets: streams, answers without a body,
// what it must not add, and the record of each in the access log.
#include <gtest/gtest.h>

#include <mutex>
#include <vector>

#include "transport_fixture.h"

namespace quern::http {
namespace {

TEST_F(Transport, StreamsAreChunkedOrEndWithTheConnection) {
  start();
  const std::string expected = "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n";
  RawClient client(port_);
  for (int i = 0; i < 2; ++i) {  // keep-alive after a stream
    client.send("GET /stream HTTP/1.1\r\n" + kHost + "\r\n");
    const RawResponse response = client.read_response();
    EXPECT_TRUE(response.chunked);
    EXPECT_EQ(response.body, expected);
  }
  const RawResponse old = fetch(port_, "GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_FALSE(old.chunked);
  EXPECT_EQ(old.body, expected);
  RawClient closing(port_);  // H-29
  closing.send("GET /stream HTTP/1.1\r\n" + kHost + "Connection: close\r\n\r\n");
  EXPECT_EQ(closing.read_response().body, expected);
  EXPECT_TRUE(closing.closed_within(1s));
}

TEST_F(Transport, BrokenStreamsEndWithoutTheirTerminator) {
  start();
  for (const char* path : {"/broken", "/broken?throw"}) {
    SCOPED_TRACE(path);
    RawClient client(port_);
    client.send(std::string("GET ") + path + " HTTP/1.1\r\n" + kHost + "\r\n");
    const RawResponse response = client.read_response(2s);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "part");
    EXPECT_FALSE(response.complete);
    EXPECT_EQ(response.head.find("secret"), std::string::npos);
    EXPECT_TRUE(client.closed_within(1s));
  }
  expect_alive();
}

// What the library would do on its own account does not show.
TEST_F(Transport, TheLibraryChangesNoAnswer) {
  start();
  const RawResponse plain = tests::get(
      port_, "/hello", "Range: bytes=0-1\r\nAccept-Encoding: gzip, br\r\nAccept: ;;\r\n");
  EXPECT_EQ(plain.status, 200);
  EXPECT_EQ(plain.body, "hello");
  EXPECT_TRUE(plain.head.starts_with("HTTP/1.1 200 OK\r\n"));
  for (const char* name : {"content-encoding", "content-range", "keep-alive", "accept-ranges",
                           "connection", "transfer-encoding", "exception_what"}) {
    EXPECT_EQ(plain.header(name), "") << name;
  }
  EXPECT_EQ(plain.header("server"), "quern");
  EXPECT_TRUE(plain.header("date").ends_with(" GMT"));
  EXPECT_EQ(tests::get(port_, "/stream", "Range: bytes=0-1\r\nAccept-Encoding: gzip\r\n").status,
            200);
  EXPECT_EQ(tests::get(port_, "/hello", "Upgrade: websocket\r\nConnection: Upgrade\r\n").body,
            "hello");
  EXPECT_EQ(tests::get(port_, "/hello?a=?b?c=%zz#d").body, "hello");
  EXPECT_EQ(tests::get(port_, "/hello?" + std::string(8180, 'q')).body, "hello");
  EXPECT_EQ(tests::get(port_, "/" + std::string(8191, '%')).status, 404);
  const RawResponse thrown = tests::get(port_, "/throw");
  EXPECT_EQ(thrown.status, 500);
  EXPECT_EQ(thrown.header("exception_what"), "");
  EXPECT_EQ(thrown.header("connection"), "close");
}

TEST_F(Transport, AnswersWithoutABody) {
  start();
  RawClient client(port_);
  client.send("HEAD /hello HTTP/1.1\r\n" + kHost + "\r\n");
  const RawResponse head = client.read_response(5s, true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-length"), "5");
  EXPECT_EQ(head.header("accept-ranges"), "");
  client.send("HEAD /stream HTTP/1.1\r\n" + kHost + "\r\n");
  const RawResponse stream = client.read_response(5s, true);
  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ(stream.header("transfer-encoding"), "chunked");
  client.send("OPTIONS /echo HTTP/1.1\r\n" + kHost + "\r\n");
  const RawResponse none = client.read_response();
  EXPECT_TRUE(none.head.starts_with("HTTP/1.1 204 No Content\r\n"));
  EXPECT_EQ(none.header("content-length"), "");
  client.send("POST /echo HTTP/1.1\r\n" + kHost + "Content-Length: 0\r\n\r\n");
  EXPECT_EQ(client.read_response().header("content-length"), "0");
  client.send("GET /hello HTTP/1.1\r\n" + kHost + "\r\n");
  EXPECT_EQ(client.read_response().body, "hello");  // nothing was left over in between
  RawClient old(port_);
  for (int i = 0; i < 2; ++i) {
    old.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const RawResponse kept = old.read_response();
    EXPECT_EQ(kept.body, "hello");
    EXPECT_EQ(kept.header("connection"), "keep-alive");
  }
}

TEST_F(Transport, EveryAnswerIsReportedOnce) {
  std::mutex mutex;
  std::vector<AccessRecord> records;
  ServerOptions options;
  options.limits.head_deadline = 200ms;
  options.on_answered = [&](const AccessRecord& record) {
    const std::lock_guard lock(mutex);
    records.push_back(record);
  };
  start(std::move(options));
  const auto next = [&](size_t n) {
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex);
      return records.size() == n;
    }));
    const std::lock_guard lock(mutex);
    return records.empty() ? AccessRecord{} : records.back();
  };
  tests::get(port_, "/hello?key=secret", "X-Request-Id: abc-1\r\n");
  const AccessRecord hello = next(1);
  EXPECT_EQ(hello.id, "abc-1");
  EXPECT_EQ(hello.peer, "127.0.0.1");
  EXPECT_EQ(hello.method, "GET");
  EXPECT_EQ(hello.path, "/hello");
  EXPECT_EQ(hello.status, 200);
  EXPECT_GT(hello.bytes_sent, 5U);
  EXPECT_GT(hello.duration.count(), 0);
  tests::get(port_, "/stream");
  EXPECT_EQ(next(2).status, 200);
  tests::get(port_, "/unknown");
  EXPECT_EQ(next(3).status, 404);
  fetch(port_, "GET /hello HTTP/1.1\r\n\r\n");
  EXPECT_EQ(next(4).status, 400);
  RawClient slow(port_);
  slow.send("POST /echo?a HTTP/1.1\r\nHo");
  EXPECT_EQ(slow.read_response().status, 408);
  const AccessRecord late = next(5);
  EXPECT_EQ(late.status, 408);
  EXPECT_EQ(late.method, "POST");
  EXPECT_EQ(late.path, "/echo");
  EXPECT_GT(late.bytes_sent, 0U);
  RawClient gone(port_);
  gone.send("POST /wait HTTP/1.1\r\n" + kHost + "Content-Length: 0\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return gate_.inside.load() == 1; }));
  gone.reset();
  EXPECT_EQ(next(6).status, 0);
  server_->stop();  // the hook's variables go before the server otherwise
}

}  // namespace
}  // namespace quern::http
