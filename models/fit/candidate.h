// The ways to have one model on this machine: files that are there, and recipes that a file of full
// precision could be quantized with. For each its size, the memory it needs, how fast it is
// predicted to be, and how well it keeps the weights. Nothing is written and no file is loaded.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/hardware/profile.h"
#include "models/convert/recipe.h"
#include "models/fit/sampled_error.h"
#include "models/gguf/reader.h"
#include "models/loader/memory_estimate.h"
#include "models/loader/speed_estimate.h"

namespace quern::fit {

struct Candidate {
  std::string name;    // of the model, as loader::ModelFacts has it
  std::string recipe;  // "Q4_K_M"
  std::string path;    // the file, or the one to quantize
  bool planned = false;
  uint64_t n_parameters = 0;
  uint64_t file_bytes = 0;
  double bits_per_weight = 0;
  loader::MemoryEstimate memory;
  uint64_t full_kv_bytes = 0;  // for the whole context of every sequence; memory.kv may be less
  uint64_t kv_bytes_per_token = 0;
  loader::SpeedEstimate prefill;
  loader::SpeedEstimate decode;    // one sequence, empty context
  loader::SpeedEstimate parallel;  // all sequences, contexts half full
  // Relative squared error of the weights (sampled_error.h); nothing where there is no file of full
  // precision to compare with.
  std::optional<double> error;
};

// What all candidates are judged by.
struct Terms {
  loader::RunSize run = {};     // context_tokens 0: what the model was trained with
  int64_t prompt_tokens = 512;  // of the predicted prefill
  hardware::Measured machine;
  // The pool for keys and values need be no larger: sequences share it. One context that is asked
  // for always fits.
  uint64_t most_kv_bytes = UINT64_MAX;
};

// Errors as loader::model_size.
Result<Candidate> candidate_of_file(const gguf::GgufFile& file, const Terms& terms);
// `reference` is of full precision. One for each of `recipes` that makes a smaller file, leaving
// out those that would make the same file as one before; largest first. Errors: what
// convert::plan_quantization and loader::model_size refuse.
Result<std::vector<Candidate>> candidates_of_recipes(
    const gguf::GgufFile& reference, const std::vector<const convert::Recipe*>& recipes,
    const Terms& terms, ErrorSampler& sampler);

}  // namespace quern::fit
