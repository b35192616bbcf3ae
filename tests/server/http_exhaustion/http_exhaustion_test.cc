// Memory that runs out at every single allocation of the HTTP server in turn: a client may lose its
// connection, the server loses nothing and answers the next one.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "server/http/http_server.h"
#include "tests/server/support/raw_client.h"
#include "tests/support/exhaustion/failing_new.h"

namespace quern::http {
namespace {

using namespace std::chrono_literals;
using tests::RawClient;
using tests::RawResponse;

constexpr const char* kRequests[] = {
    "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    "GET /nothing-here HTTP/1.1\r\nHost: localhost\r\n\r\n",
};

std::unique_ptr<HttpServer> start() {
  Router router;
  router.add({"GET", "/hello", [](Exchange& e) { e.send({200, "text/plain", "hello", {}}); }});
  router.add({"POST", "/echo", [](Exchange& e) {
                e.send({200, "text/plain", e.request().body, {}});
              }});
  router.add({"GET", "/stream", [](Exchange& e) {
                e.stream({200, "text/event-stream", "", {}},
                         [](const StreamWrite& write) { return write("data: x\n\n"); });
              }});
  ServerOptions options;
  options.error_body = [](std::string_view, int status, std::string message) {
    return Response{status, "text/plain", std::move(message), {}};
  };
  auto server = HttpServer::create(std::move(options), std::move(router));
  EXPECT_TRUE(server.ok());
  EXPECT_TRUE((*server)->start().ok());
  return std::move(*server);
}

TEST(HttpExhaustion, ClientsMayGoButTheServerStays) {
  const std::unique_ptr<HttpServer> server = start();
  int n_cut = 0;
  for (const char* request : kRequests) {
    int64_t first = 1;
    for (;; first += 1 + first / 30) {
      SCOPED_TRACE(request + std::string("from allocation ") + std::to_string(first));
      RawResponse response;
      {
        RawClient client(server->port());
        tests::fail_allocations_elsewhere(first, 2);
        client.send(request);
        response = client.read_response(5s);
      }
      const int64_t n_failed = tests::grant_allocations();
      n_cut += response.status == 0 ? 1 : 0;
      // Descriptors and counts come back, and the next client is served.
      for (int i = 0; i < 5000 && server->counters().open > 0; ++i) {
        std::this_thread::sleep_for(1ms);
      }
      ASSERT_EQ(server->counters().open, 0);
      ASSERT_EQ(server->counters().busy, 0);
      ASSERT_EQ(tests::fetch(server->port(), kRequests[0]).status, 200);
      if (n_failed == 0) break;
    }
    EXPECT_GT(first, 20);
  }
  EXPECT_GT(n_cut, 20);
}

}  // namespace
}  // namespace quern::http
