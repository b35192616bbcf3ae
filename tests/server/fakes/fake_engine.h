// An engine that needs no model: it answers with a text chosen by the test, one byte a token.
//
// Behaves like the real one at its interface: bounded queue, cancellation when a stream is
// destroyed, exactly one final event. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/run/engine.h"
#include "server/api/served_model.h"

namespace quern::tests {

struct FakeBehaviour {
  std::string answer = "Hello, world";
  std::chrono::milliseconds before_first{0};  // silence of queue and prefill
  std::chrono::milliseconds between_tokens{0};
  int fail_after_tokens = -1;  // that many tokens, then kFailed
  bool busy = false;           // submit is kBusy
  bool share_full = false;     // and it is the share's fault
  double wait_ms = 0;          // predicted
  float logprob_per_seed = 0;  // of each token, on top of -0.5
  int64_t context_tokens = 512;
  engine::SpeculationStats speculation = {};
};

class FakeEngine final : public engine::Engine {
 public:
  explicit FakeEngine(FakeBehaviour behaviour = {}) : behaviour_(std::move(behaviour)) {}

  Result<std::unique_ptr<engine::Stream>> submit(engine::Request request) override;
  Result<std::vector<std::unique_ptr<engine::Stream>>> submit_group(
      std::vector<engine::Request> requests) override;
  bool share_is_full(std::string_view share) const override;
  engine::EngineStats stats() const override;
  const loader::Model& model() const override;  // there is none: not to be called
  int64_t context_tokens() const override { return behaviour_.context_tokens; }
  uint64_t kv_bytes() const override { return 0; }
  void drain(std::chrono::steady_clock::time_point deadline) override;

  void set(FakeBehaviour behaviour);
  // Requests submitted so far.
  std::vector<engine::Request> requests() const;
  // Drops them, and so what they hold.
  void forget();
  // Groups of requests submitted so far.
  int groups() const { return groups_.load(); }
  // Streams alive now.
  int alive() const { return alive_->load(); }
  bool wait_until_idle(std::chrono::milliseconds timeout) const;

 private:
  mutable std::mutex mutex_;
  FakeBehaviour behaviour_;
  std::vector<engine::Request> requests_;
  std::atomic<int> groups_{0};
  std::shared_ptr<std::atomic<int>> alive_ = std::make_shared<std::atomic<int>>(0);
};

// A model "tiny" with 256 byte tokens, <s> and </s> in front of a FakeEngine, with a chat template
// that has roles and an end token.
class FakeModel {
 public:
  explicit FakeModel(FakeBehaviour behaviour = {});

  api::ServedModel served();
  FakeEngine engine;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  std::shared_ptr<const chat::ChatTemplate> chat_template;
};

// The token that stands for a byte in that vocabulary.
engine::TokenId byte_token(char c);

}  // namespace quern::tests
