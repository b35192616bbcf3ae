// adapter_config.json of the peft package: what a directory with a LoRA adapter says of itself.
//
// Only plain LoRA passes. Whatever would change the result and cannot be carried over is refused by
// name, and so is every setting that is not known here, unless it is off (null, false, 0, "", [],
// {}). Source: peft's LoraConfig, versions 0.4 to 0.21.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace quern::huggingface {

struct PeftConfig {
  int64_t rank = 0;
  double alpha = 0;               // not 0
  bool rank_stabilized = false;   // deltas are multiplied by alpha / sqrt(rank), not alpha / rank
  bool has_rank_pattern = false;  // some matrices have another rank
  std::string base_model;         // what it was trained on, as the author wrote it; may be empty
};

// Errors name the setting, what it is and what was expected.
Result<PeftConfig> parse_peft_config(std::string_view json);

}  // namespace quern::huggingface
