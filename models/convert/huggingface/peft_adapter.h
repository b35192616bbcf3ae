// Converts a LoRA adapter of the peft package (adapter_config.json and adapter_model.safetensors in
// one directory) to a GGUF adapter for a base model that is GGUF already; loader/adapter.h pictures
// the file.
//
// Values stay as they are: F16 and BF16 halves in their format, others as F32. Rows of B for query
// and key matrices move as the rows of the base did when it was converted, where the architecture
// rotates neighbouring values. Rank-stabilized scaling becomes an alpha of alpha * sqrt(rank).
// Source: the names that peft gives its tensors; the order of rows of llama.cpp's converters.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "config/base/result.h"

namespace quern::huggingface {

struct AdapterReport {
  std::string name;
  std::string architecture;
  uint64_t n_matrices = 0;
  uint64_t file_bytes = 0;
};

// Writes the adapter at `out_path`, which appears only when complete. `name`: general.name; the
// directory's name when empty. Errors name the file and the setting or tensor: what
// parse_peft_config() refuses, tensors that are no halves of deltas or stand alone, modules that
// the base has no tensor for, shapes that do not fit it, values that are no finite numbers.
Result<AdapterReport> convert_peft_adapter(const std::filesystem::path& directory,
                                           const std::filesystem::path& base_path,
                                           const std::filesystem::path& out_path,
                                           const std::string& name = {});

}  // namespace quern::huggingface
