// Converts the folder of a Hugging Face checkpoint (config.json, safetensors, tokenizer) to GGUF.
//
// Streams: some tensors' pieces at a time are read, decoded if they are quantized, encoded by all
// threads and written; the result appears under its name only when it is complete.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "models/convert/recipe.h"
#include "models/convert/tensor_encoder.h"

namespace quern::huggingface {

struct ConvertChoices {
  std::string name;     // general.name; the folder's when empty
  std::string license;  // general.license; left out when empty
  // Null: F32, F16 or BF16, as the checkpoint stores its token embedding.
  const convert::Recipe* recipe = nullptr;
  convert::QuantizeOptions options;
};

struct ConvertSummary {
  std::string architecture;
  std::string recipe;
  std::string quantization;  // of the checkpoint; empty: none
  uint64_t n_tensors = 0;
  uint64_t n_weights = 0;
  uint64_t n_tokens = 0;
  uint64_t file_bytes = 0;
  // Worth a line to the user.
  std::vector<std::string> notes;
};

// Errors name the file: see config.h, tokenizer_files.h, quantization.h, tensor_plan.h, and those
// of convert::quantize_file.
Result<ConvertSummary> convert_folder(const std::filesystem::path& folder,
                                      const std::filesystem::path& out,
                                      const ConvertChoices& choices);

}  // namespace quern::huggingface
