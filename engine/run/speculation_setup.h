// From options to a Speculator: which model may draft for which, and what it is given.
#pragma once

#include <memory>

#include "config/base/log.h"
#include "config/base/result.h"
#include "engine/run/speculation_options.h"
#include "engine/speculate/speculator.h"
#include "kernels/backend/backend.h"
#include "models/loader/model.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::engine {

// Whether tokens of `draft` mean the same in `target`: equal text for equal ids. One may have up to
// kMaxPadding ids more at the end, as models of one family are padded differently. Error
// (kInvalidInput): names the first token that differs.
inline constexpr int64_t kMaxPadding = 256;
Status check_draft_vocabulary(const tokenizer::Tokenizer& target,
                              const tokenizer::Tokenizer& draft);

// Of the draft model, whatever the model's is.
inline constexpr ops::KvFormat kDraftKvFormat = ops::KvFormat::kF16;
uint64_t draft_bytes_per_page(const SpeculationOptions& options);

struct SpeculatorDemand {
  int64_t n_vocab = 0;  // of the model
  int32_t n_pages = 0;
  int32_t max_running = 1;
  Log log = Log::none();
};

// Null when speculation is off. `backend` must outlive it.
Result<std::unique_ptr<Speculator>> create_speculator(const SpeculationOptions& options,
                                                      const tokenizer::Tokenizer& target,
                                                      backend::Backend& backend,
                                                      const SpeculatorDemand& demand);

}  // namespace quern::engine
