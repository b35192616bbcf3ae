// The options of speculation, and the draft model they name.
#pragma once

#include <string>

#include "config/base/result.h"
#include "config/options/options.h"
#include "engine/run/engine.h"
#include "kernels/backend/backend.h"

namespace quern::cli {

// Loads the draft model, if one is named. Errors: options that contradict each other, whatever
// loading the file says.
Result<engine::SpeculationOptions> open_speculation(const options::Options& options,
                                                    backend::Backend& backend);

// For the start-up summary.
std::string describe_speculation(const engine::SpeculationOptions& speculation,
                                 uint64_t draft_kv_bytes);

}  // namespace quern::cli
