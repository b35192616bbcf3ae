// A running server with routes that behave in all the ways handlers may, for tests over sockets.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "server/http/http_server.h"
#include "tests/server/support/raw_client.h"

namespace quern::http {

using namespace std::chrono_literals;
using tests::fetch;
using tests::RawClient;
using tests::RawResponse;

inline Response plain_error(std::string_view /*path*/, int status, std::string message) {
  return {status, "text/plain", std::move(message), {}};
}

struct Gate {
  std::atomic<bool> open{false};
  std::atomic<int> inside{0};
  std::atomic<int> saw_gone{0};
};

// Routes: GET /hello, POST /echo, GET /stream, /broken[?throw], /flood, POST /wait (answers when
// the gate opens or the client goes), GET /health (quick), GET /throw, GET /nothing.
class Transport : public testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    Router router;
    router.add({"GET", "/hello", [](Exchange& e) {
                  e.send({200, "text/plain", "hello", {{"x-odd", "a\r\nx-evil: b"}}});
                }});
    router.add({"POST", "/echo", [](Exchange& e) {
                  e.send({200, "text/plain", e.request().body, {}});
                }});
    router.add({"GET", "/stream", [](Exchange& e) {
                  e.stream({200, "text/event-stream", "", {}}, [](const StreamWrite& write) {
                    for (int i = 0; i < 5; ++i) {
                      if (!write("data: " + std::to_string(i) + "\n\n")) return false;
                    }
                    return true;
                  });
                }});
    router.add({"GET", "/broken", [](Exchange& e) {
                  const bool throws = e.request().query == "throw";
                  e.stream({200, "text/plain", "", {}}, [&](const StreamWrite& write) -> bool {
                    write("part");
                    if (throws) throw std::runtime_error("secret");
                    return false;
                  });
                }});
    router.add({"GET", "/flood", [this](Exchange& e) {
                  const std::string piece(size_t{1} << 16, 'x');
                  e.stream({200, "text/plain", "", {}}, [&](const StreamWrite& write) {
                    while (write(piece)) {
                    }
                    return false;
                  });
                  gate_.saw_gone.fetch_add(1);
                }});
    router.add({"POST", "/wait", [this](Exchange& e) {
                  gate_.inside.fetch_add(1);
                  while (!gate_.open.load()) {
                    if (e.client_gone()) {
                      gate_.saw_gone.fetch_add(1);
                      return;
                    }
                    std::this_thread::sleep_for(2ms);
                  }
                  e.send({200, "text/plain", "waited", {}});
                }});
    router.add({"GET", "/throw", [](Exchange&) { throw std::runtime_error("secret"); }});
    router.add({"GET", "/nothing", [](Exchange&) {}});
    router.add({"GET", "/health",
                [](Exchange& e) {
                  e.send({200, "text/plain", "ok", {}});
                },
                false, true});
    options.error_body = plain_error;
    auto server = HttpServer::create(std::move(options), std::move(router));
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = std::move(server).value();
    ASSERT_TRUE(server_->start().ok());
    port_ = server_->port();
  }

  void expect_alive() { EXPECT_EQ(tests::get(port_, "/hello").body, "hello"); }

  template <typename Condition>
  bool eventually(Condition condition, std::chrono::milliseconds timeout = 3s) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(2ms);
    }
    return true;
  }

  Gate gate_;
  std::unique_ptr<HttpServer> server_;
  int port_ = 0;
};

inline const std::string kHost = "Host: localhost\r\n";

}  // namespace quern::http
