// Which tensors of a checkpoint become which tensors of the written file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "models/arch/hyper_params.h"
#include "models/convert/huggingface/config.h"
#include "models/convert/huggingface/quantization.h"
#include "models/convert/tensor_encoder.h"
#include "models/gguf/reader.h"
#include "models/safetensors/checkpoint.h"

namespace quern::huggingface {

// One tensor to write.
struct TensorJob {
  // Name and dimensions; the format is F32 and there is no data.
  gguf::TensorInfo info;
  std::vector<std::string> sources;  // one, or one per expert; empty: `constant`
  std::vector<float> constant;
  Change change = Change::kNone;
};

// What the whole plan depends on.
struct TensorPlanInput {
  const safetensors::Checkpoint& checkpoint;
  const Quantization& quantization;
  const ModelConfig& config;
  const arch::HyperParams& hyper;
};

// All tensors of the file, in its order. Errors: one that is missing, one whose shape is not that
// of config.json, one that has no place in the architecture (but those known to carry nothing, and
// biases that are zero).
Result<std::vector<TensorJob>> plan_tensors(const TensorPlanInput& input);

// The values of a job, read from the checkpoint as they are asked for. Holds scales and maps of the
// job's matrices only.
Result<std::unique_ptr<convert::ValueSource>> open_values(const TensorPlanInput& input,
                                                          const TensorJob& job);

}  // namespace quern::huggingface
