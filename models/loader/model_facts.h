// The facts about a model that listings and the start-up summary show.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/arch/hyper_params.h"
#include "models/gguf/reader.h"

namespace quern::loader {

struct ModelFacts {
  std::string name;          // general.name, else the file's stem
  std::string architecture;  // "llama"
  std::string recipe;  // "Q4_K_M", "F32", ... from general.file_type, else the commonest format
  uint64_t n_parameters = 0;
  uint64_t file_bytes = 0;
  int64_t n_layers = 0;
  int64_t n_embedding = 0;
  int64_t n_vocab = 0;
  int64_t context_length = 0;  // trained
  std::string license;         // may be empty
  // Tensors of the file that this architecture does not use; they are ignored.
  std::vector<std::string> unused_tensors;
};

ModelFacts collect_facts(const gguf::GgufFile& file, std::string_view architecture,
                         const arch::HyperParams& hyper, std::vector<std::string> unused_tensors);

}  // namespace quern::loader
