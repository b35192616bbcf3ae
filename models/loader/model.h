// A loaded model: immutable, shared by whoever runs it.
#pragma once

#include <cstdint>
#include <memory>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/chat/chat_template.h"
#include "models/gguf/reader.h"
#include "models/graph/forward.h"
#include "models/loader/model_facts.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::loader {

struct LoadOptions {
  // The longest sequence that will be run; 0: as long as the model was trained for. LongRoPE models
  // (Phi-3) rotate differently beyond their original context, and a model does so for all of its
  // sequences or for none, or an answer would depend on its length.
  int64_t context_length = 0;
};

class Model {
 public:
  // Checks the file against its architecture's tables, loads every weight into `backend` (borrowed
  // from the mapping on the CPU) and builds tokenizer and template. `backend` must outlive it.
  // Errors: unknown architecture (names the supported ones), missing or misshapen tensor,
  // hyper-parameter out of range, broken vocabulary or template. While the model is in use, look at
  // file().poisoned() after each step: once true, what was computed is void.
  static Result<std::shared_ptr<const Model>> load(std::shared_ptr<const gguf::GgufFile> file,
                                                   backend::Backend& backend,
                                                   const LoadOptions& options = {});

  const ModelFacts& facts() const { return facts_; }
  const gguf::GgufFile& file() const { return *file_; }
  const tokenizer::Tokenizer& tokenizer() const { return *tokenizer_; }
  // The model's own template, or the built-in one for base models.
  const chat::ChatTemplate& chat_template() const { return *chat_template_; }
  bool has_own_template() const { return has_own_template_; }
  std::shared_ptr<const graph::DecoderWeights> weights() const { return weights_; }

 private:
  Model() = default;
  static Result<std::shared_ptr<const Model>> load_checked(
      std::shared_ptr<const gguf::GgufFile> file, backend::Backend& backend,
      const LoadOptions& options);

  ModelFacts facts_;
  std::shared_ptr<const gguf::GgufFile> file_;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  std::shared_ptr<const chat::ChatTemplate> chat_template_;
  bool has_own_template_ = false;
  std::shared_ptr<const graph::DecoderWeights> weights_;
};

}  // namespace quern::loader
