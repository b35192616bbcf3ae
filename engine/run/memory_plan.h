// How many KV pages to reserve, and the longest context they allow. Pure arithmetic; who asks the
// machine for its memory is the caller.
#pragma once

#include <cstdint>

#include "config/base/result.h"

namespace quern::engine {

struct KvDemand {
  int64_t context_option = 0;   // asked for; 0: whatever fits, up to context_trained
  int64_t context_trained = 0;  // of the model, at least 1
  int32_t max_sequences = 1;
  uint64_t kv_bytes_option = 0;  // asked for; 0: by need and memory
  uint64_t available_bytes = 0;  // that the machine can give
  uint64_t bytes_per_page = 1;
  int32_t page_tokens = 1;
};

struct KvPlan {
  int32_t n_pages = 0;
  int64_t context_tokens = 0;  // one such context always fits into the pages
  uint64_t bytes = 0;
};

// bytes = n_pages * bytes_per_page. A context that was asked for is granted or refused, never
// shortened; without one the trained context is shortened to what one sequence can have.
// Errors: kInvalidInput (beyond the trained context), kOutOfMemory (names bytes needed and there).
Result<KvPlan> plan_kv(const KvDemand& demand);

}  // namespace quern::engine
