// What the sampler keeps of one sequence from draw to draw: mirostat's bound, and where breakers of
// DRY stand in the text.
//
// It belongs to the sequence and is a function of its parameters, its tokens and its logits alone,
// so neither scheduling nor preemption can change it. Bound: 64 bytes, and with DRY 1 byte per
// token and 2.5 KiB of breakers.
#pragma once

#include <optional>
#include <string_view>

#include "engine/sample/dry.h"
#include "engine/types/request.h"

namespace quern::engine {

class SampleMemory {
 public:
  explicit SampleMemory(const SamplingParams& params);

  // Whether it wants to know the text of each token.
  bool wants_text() const { return breakers_.has_value(); }
  // The text of the sequence's next token, of the prompt or drawn. Precondition: wants_text().
  void note(std::string_view bytes) { breakers_->push(bytes); }

  const DryBreakers* breakers() const { return breakers_ ? &*breakers_ : nullptr; }
  double& mirostat_mu() { return mirostat_mu_; }

 private:
  std::optional<DryBreakers> breakers_;
  double mirostat_mu_;
};

}  // namespace quern::engine
