// config.json of a checkpoint as the keys of an architecture.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/base/json.h"
#include "config/base/result.h"
#include "models/arch/arch_spec.h"
#include "models/convert/huggingface/model_class.h"
#include "models/gguf/metadata.h"

namespace quern::huggingface {

// A vector of the file that is in config.json rather than among the tensors.
struct ConfigTensor {
  arch::TensorRole role;
  std::vector<float> values;
};

struct ModelConfig {
  const ModelClass* model_class = nullptr;
  const arch::ArchSpec* spec = nullptr;
  // Whether the output matrix is the token embedding; nothing: told by the tensors.
  std::optional<bool> tied;
  uint64_t n_vocab = 0;
  std::vector<ConfigTensor> tensors;
};

// Sets general.architecture and the architecture's keys. Errors: a class that is not in the list
// (kUnsupported, names those that are), a value missing or of another type, and whatever would have
// to be left out silently: rotary scaling, windows, activations, layers or routing that the
// architecture's recipe does not compute.
Result<ModelConfig> read_config(const Json& config, gguf::Metadata& metadata);

}  // namespace quern::huggingface
