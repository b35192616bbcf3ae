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
};

}  // namespace quern::engine
