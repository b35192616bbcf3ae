// A StepRunner without a model: logits are a hash of all tokens of a sequence, read back through
// its pages as attention would. A page that belongs to somebody else, a token computed twice, at
// the wrong place or not at all changes the answer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/run/step_runner.h"

namespace quern::engine {

class FakeRunner final : public StepRunner {
 public:
  FakeRunner(int64_t n_vocab, int32_t n_pages, int32_t page_tokens)
      : n_vocab_(n_vocab), page_tokens_(page_tokens) {
    memory_.assign(static_cast<size_t>(n_pages) * static_cast<size_t>(page_tokens), -1);
  }

  Status run(const ops::StepInputs& inputs, std::span<float> logits) override;
  void copy_page(PageId from, PageId to) override;
  uint64_t page_bytes() const override {
    return sizeof(int32_t) * static_cast<uint64_t>(page_tokens_);
  }
  void read_page(PageId page, std::span<std::byte> out) override;
  void write_page(PageId page, std::span<const std::byte> bytes) override;
  Status check_model() const override;

  // The same function of a whole sequence, computed directly.
  static std::vector<float> logits_after(std::span<const int32_t> tokens, int64_t n_vocab);

  // Called at the start of each run with the number of the step, from 1; an error or an exception
  // it throws becomes run()'s.
  std::function<Status(int64_t step, const ops::StepInputs& inputs)> before_run;
  // Called with the tokens of a sequence up to a wanted row, to spoil that row.
  std::function<void(std::span<const int32_t> tokens, std::span<float> row)> after_row;
  std::atomic<bool> model_gone{false};
  std::atomic<int64_t> n_steps{0};
  std::atomic<int64_t> max_sequences_seen{0};

 private:
  int64_t n_vocab_;
  int32_t page_tokens_;
  std::vector<int32_t> memory_;  // token per position of each page
};

}  // namespace quern::engine
