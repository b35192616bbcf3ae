// The options of speculation, and the draft model they name.
#pragma once

#include <cstdint>
#include <string>

#include "config/base/result.h"
#include "config/options/options.h"
#include "engine/run/speculation_options.h"
#include "kernels/backend/backend.h"
#include "models/arch/hyper_params.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::cli {

struct Speculation {
  engine::SpeculationOptions options;
  std::string left_out;  // why the draft model is not used; empty: it is, or none is named
};

// Loads the draft model, if one is named, for a model with this tokenizer. Errors: options that
// contradict each other; whatever loading the file says; another vocabulary, if the draft model is
// `for_all` that are served or --speculative draft asks for it. Else the model does without it.
Result<Speculation> open_speculation(const options::Options& options,
                                     const tokenizer::Tokenizer& target, backend::Backend& backend,
                                     bool for_all);

// For the start-up summary.
std::string describe_speculation(const Speculation& speculation, uint64_t draft_kv_bytes);

// What the draft model will take beside a model, by its header; nothing when none is named.
struct DraftMemory {
  uint64_t fixed = 0;  // weights and scratch
  uint64_t kv = 0;     // of a full context for every sequence
};
Result<DraftMemory> draft_memory(const options::Options& options, int64_t context_tokens,
                                 int32_t sequences);

}  // namespace quern::cli
