// A loaded model: immutable, shared by whoever runs it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/chat/chat_template.h"
#include "models/gguf/reader.h"
#include "models/graph/forward.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::loader {

// Facts for listings and the start-up summary.
struct ModelFacts {
  std::string name;          // general.name, else the file's stem
  std::string architecture;  // "llama"
  std::string recipe;        // "Q4_K_M", "F32", ... from general.file_type, else the commonest format
  uint64_t n_parameters = 0;
  uint64_t file_bytes = 0;
  int64_t n_layers = 0;
  int64_t n_embedding = 0;
  int64_t n_vocab = 0;
  int64_t context_length = 0;  // trained
  std::string license;         // may be empty
};

class Model {
 public:
  // Checks the file against its architecture's tables, loads every weight into `backend` (borrowed
  // from the mapping on the CPU) and builds tokenizer and template. `backend` must outlive it.
  // Errors: unknown architecture (names the supported ones), missing or misshapen tensor,
  // hyper-parameter out of range, broken vocabulary or template.
  static Result<std::shared_ptr<const Model>> load(std::shared_ptr<const gguf::GgufFile> file,
                                                   backend::Backend& backend);

  const ModelFacts& facts() const { return facts_; }
  const gguf::GgufFile& file() const { return *file_; }
  const tokenizer::Tokenizer& tokenizer() const { return *tokenizer_; }
  // The model's own template, or the built-in one for base models.
  const chat::ChatTemplate& chat_template() const { return *chat_template_; }
  bool has_own_template() const { return has_own_template_; }
  std::shared_ptr<const graph::DecoderWeights> weights() const { return weights_; }

 private:
  Model() = default;

  ModelFacts facts_;
  std::shared_ptr<const gguf::GgufFile> file_;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  std::shared_ptr<const chat::ChatTemplate> chat_template_;
  bool has_own_template_ = false;
  std::shared_ptr<const graph::DecoderWeights> weights_;
};

}  // namespace quern::loader
