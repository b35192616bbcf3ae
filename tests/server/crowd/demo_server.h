// The demo model behind a server of its own, with whatever options a test wants.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/hardware/profile.h"
#include "kernels/cpu/cpu_backend.h"
#include "models/loader/embedded_model.h"
#include "server/api/app/app.h"
#include "tests/server/support/raw_client.h"

namespace quern::api {

class DemoServer : public testing::Test {
 protected:
  void SetUp() override {
    if (loader::embedded_model("stories260k").empty()) {
      GTEST_SKIP() << "built without the demo model";
    }
    auto backend = cpu::create_cpu_backend({.profile = hardware::probe_hardware(), .threads = 2});
    ASSERT_TRUE(backend.ok()) << backend.error().message();
    backend_ = std::move(*backend);
    auto file = gguf::GgufFile::from_bytes(loader::embedded_model("stories260k"), "demo");
    ASSERT_TRUE(file.ok()) << file.error().message();
    auto model = loader::Model::load(*file, *backend_);
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
  }
  void TearDown() override {
    app_.reset();
    engine_.reset();
  }

  void serve(const engine::EngineOptions& options, std::vector<std::string> keys = {}) {
    app_.reset();
    engine_.reset();
    auto engine = engine::Engine::create(model_, *backend_, options);
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    engine_ = std::move(*engine);
    AppOptions front;
    front.port = 0;
    front.api_keys = std::move(keys);
    auto app = App::create(front, {describe_model(*engine_, "demo", "")});
    ASSERT_TRUE(app.ok()) << app.error().message();
    app_ = std::move(*app);
    ASSERT_TRUE(app_->start().ok());
  }

  tests::RawResponse exchange(const std::string& path, const std::string& body,
                              const std::string& headers = "") const {
    tests::RawClient client(app_->port());
    client.send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers +
                "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return client.read_response(std::chrono::seconds(120));
  }
  // The body, or what went wrong.
  std::string post(const std::string& path, const std::string& body,
                   const std::string& headers = "") const {
    const tests::RawResponse response = exchange(path, body, headers);
    return response.status == 200 ? response.body
                                  : "status " + std::to_string(response.status) + response.body;
  }

  std::unique_ptr<backend::Backend> backend_;
  std::shared_ptr<const loader::Model> model_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<App> app_;
};

}  // namespace quern::api
