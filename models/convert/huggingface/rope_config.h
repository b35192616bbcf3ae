// The rotary embedding of config.json: base, how much of a head it turns, and how it is stretched.
#pragma once

#include <string>

#include "config/base/json.h"
#include "config/base/result.h"
#include "models/convert/huggingface/config.h"

namespace quern::huggingface {

// What the rotary keys depend on.
struct RopeShape {
  uint64_t head_dim = 0;
  uint64_t context = 0;  // max_position_embeddings
  double theta = 0;      // where config.json is silent
};

// Sets <prefix>rope.* and adds the vectors of factors. Reads rope_parameters, or rope_theta,
// rope_scaling and partial_rotary_factor of older files. Kinds other than default, linear, yarn,
// llama3 and longrope (su) are kUnsupported.
// Source: transformers 5.24, modeling_rope_utils.py; Ding et al. 2024; Dubey et al. 2024.
Status read_rope(const Json& config, const RopeShape& shape, const std::string& prefix,
                 gguf::Metadata& metadata, std::vector<ConfigTensor>& tensors);

}  // namespace quern::huggingface
