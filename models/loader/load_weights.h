// Puts checked tensors on a backend: matrices where they lie, vectors as f32.
#pragma once

#include <cstdint>
#include <memory>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/graph/weights.h"
#include "models/loader/tensor_check.h"

namespace quern::loader {

// `context_length`: the longest sequence that will be run; it decides between the short and the
// long rotary factors of LongRoPE models. Errors: what the backend reports, rotary factors that are
// not positive numbers. The caller keeps `table`'s file alive as long as the weights.
Result<std::shared_ptr<graph::DecoderWeights>> load_weights(const arch::ArchSpec& spec,
                                                            const arch::HyperParams& hyper,
                                                            const TensorTable& table,
                                                            int64_t context_length,
                                                            backend::Backend& backend);

}  // namespace quern::loader
