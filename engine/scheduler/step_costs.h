// What a step costs in time, as plain data that the engine measures and hands to the Scheduler, and
// the arithmetic on it. Keeps no clock.
//
// Model: a step of b decoding sequences takes decode_step_ns(b); each prompt token in the same step
// adds prompt_token_ns, and position_ns for every position it attends to. A step without prompts,
// drafts included, takes step_ns and row_ns for each token.
#pragma once

#include <array>
#include <cstdint>

namespace quern::engine {

struct StepCosts {
  // Bucket i: steps of more than 2^(i-1) and up to 2^i decoding sequences. 0: not known.
  static constexpr int kBuckets = 11;
  std::array<double, kBuckets> decode_ns{};
  double prompt_token_ns = 0;  // 0: not known
  double position_ns = 0;
  double step_ns = 0;
  double row_ns = 0;

  static int bucket(int32_t n_decodes);  // precondition: n_decodes >= 1
  // Of its bucket, or else of the nearest known one: a larger one as it is, a smaller one with
  // row_ns for each sequence more. 0 when nothing is known.
  double decode_step_ns(int32_t n_decodes) const;
  // Of a step of n tokens without prompts; 0 when nothing is known.
  double rows_ns(int32_t n) const { return step_ns + n * row_ns; }
  // Of n_tokens prompt tokens that follow `first_position` others.
  double prompt_ns(int64_t n_tokens, int64_t first_position) const;
  // The largest number of prompt tokens whose prompt_ns() is at most `ns`. Precondition:
  // prompt_token_ns > 0.
  int64_t prompt_tokens_within(double ns, int64_t first_position) const;

  // What one prompt gets of a step at least, so that it ends, and what all get as long as costs are
  // not known.
  static constexpr int64_t kLeastChunk = 8;
  static constexpr int64_t kUnknownChunk = 32;
  // Prompt tokens from `first_position` on that fit into `ns` behind the step's `n_before` others.
  int64_t chunk_within(double ns, int64_t first_position, int64_t n_before) const;

  // The bound when none is configured: twice the step without prompts, at least this.
  static constexpr double kLeastGapNs = 50e6;
  // Time for prompts beside `n_decodes` streams when no step is to take longer than `max_gap_ns`
  // (0: see above); negative: none is left.
  double prompt_budget_ns(int32_t n_decodes, double max_gap_ns) const;
};

}  // namespace quern::engine
