// Request fields of the samplers that both dialects take under llama.cpp's names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/json.h"
#include "engine/types/request.h"
#include "server/api/fields.h"

namespace quern::api {

extern const std::span<const FieldSpec> kSamplerFields;

// Reads fields that passed check_fields(); a field that is absent leaves `out` as it is. Names of
// fields that mirostat takes the place of are appended to `unused`. `prefix` as there.
MaybeError read_samplers(const Json& object, std::string_view prefix, engine::SamplingParams& out,
                         std::vector<std::string>& unused);

}  // namespace quern::api
