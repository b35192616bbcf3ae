// Writes a model file anew with its matrices in the formats of a recipe.
//
// Streams: a piece of one tensor at a time is decoded, encoded by all threads and written, so
// memory does not grow with the model. Same input and choices, same bytes, whatever the number of
// threads and the instruction set. The result appears under its name only when it is complete.
#pragma once

#include <filesystem>

#include "config/base/result.h"
#include "models/convert/quantize_plan.h"
#include "models/convert/tensor_encoder.h"

namespace quern::convert {

// Errors: no room for the result, a weight that is not finite, the input going away or
// rewritten under the mapping, interrupted (kCancelled). Nothing is left at `out` then but what was
// there before.
Status quantize_file(const gguf::GgufFile& file, const QuantizePlan& plan,
                     const QuantizeOptions& options, const std::filesystem::path& out);

}  // namespace quern::convert
