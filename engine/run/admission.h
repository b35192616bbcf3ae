// Whether a request can be served at all, decided before it is queued and before any computation.
#pragma once

#include <cstdint>

#include "config/base/result.h"
#include "engine/types/request.h"

namespace quern::engine {

struct AdmissionLimits {
  int64_t n_vocab = 0;
  int64_t context_tokens = 0;
  int32_t n_adapters = 0;
};

// What a request may multiply an adapter's own strength by, either way.
inline constexpr float kMaxAdapterScale = 1000;

// Errors: kContextOverflow (with both counts) when the prompt leaves no room for the first token
// asked for, kInvalidInput for anything out of range.
Status validate_request(const Request& request, const AdmissionLimits& limits);

}  // namespace quern::engine
