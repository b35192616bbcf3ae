// The limits that a step plan keeps.
#pragma once

#include <cstdint>

namespace quern::engine {

struct Budget {
  int32_t max_running = 8;        // sequences with pages, at most
  int32_t max_step_tokens = 256;  // tokens in one step; at least max_running
  int32_t max_step_outputs = 8;   // rows of logits in one step; at least max_running
  int32_t n_pages = 0;
  int32_t page_tokens = 32;
  // Pages that may hold computed prompts which no sequence uses; they are given up whenever a
  // sequence needs them. 0: no prompt is reused, not even between running sequences.
  int32_t max_idle_pages = INT32_MAX;
  // No step beside a running stream is to take longer; 0: twice as long as without prompts, at
  // least StepCosts::kLeastGapNs. One prompt gets a few tokens per step whatever they cost.
  double max_gap_ns = 0;
};

}  // namespace quern::engine
