// Small random models made in memory through the project's own writer, for tests of everything
// above the file: any architecture of the tables, matrices in any format that can be encoded.
//
// The tensors come from the architecture's table, so a new architecture works here without a
// change. Same options, same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend/backend.h"
#include "kernels/formats/format.h"
#include "models/gguf/metadata.h"
#include "models/gguf/reader.h"
#include "models/loader/model.h"

namespace quern::tests_support {

// One tensor about to be written.
struct TensorPlan {
  std::string name;
  formats::FormatId format = formats::FormatId::kF32;
  std::vector<uint64_t> dims;  // dims[0] contiguous
};

struct TinyModelOptions {
  std::string architecture = "llama";
  formats::FormatId format = formats::FormatId::kF32;  // of matrices; vectors are F32
  int64_t n_layers = 2;
  int64_t n_embedding = 64;
  int64_t n_heads = 4;
  int64_t n_kv_heads = 2;
  int64_t head_dim = 16;
  int64_t n_feed_forward = 96;
  // 0: dense where the architecture has dense models, otherwise 5 experts of which 2 are used.
  int64_t n_experts = 0;
  int64_t n_experts_used = 2;
  int64_t n_expert_feed_forward = 32;  // where it is not n_feed_forward
  bool split_experts = false;          // a tensor for each expert, as in old files
  int64_t context_length = 512;
  int64_t sliding_window = 0;     // 0: the key is left out
  bool optional_tensors = false;  // write the optional ones (biases, rotary factors) too
  // Matrices in quantized formats are made of random bytes instead of encoded values, so that a
  // better encoder does not make another model.
  bool random_blocks = false;
  bool tied_output = true;  // leave output.weight out where the architecture allows it
  uint64_t seed = 1;
  std::string chat_template;  // empty: the key is left out

  // For malformed models: called with everything in place, before writing.
  std::function<void(gguf::Metadata&)> edit_metadata;
  std::function<void(std::vector<TensorPlan>&)> edit_tensors;
};

// Options whose matrices have rows that are whole blocks of `format`.
TinyModelOptions tiny_options_for(formats::FormatId format);

// The vocabulary of every tiny model: <unk>, <s>, </s>, 256 byte tokens, the space and short words;
// any text can be encoded.
inline constexpr int64_t kTinyVocabSize = 320;

// The bytes of the GGUF file. Errors: unknown architecture, a format without an encoder, whatever
// the writer refuses.
Result<std::vector<std::byte>> tiny_model_bytes(const TinyModelOptions& options);

// The same opened; the file object keeps its bytes alive.
Result<std::shared_ptr<const gguf::GgufFile>> tiny_model_file(const TinyModelOptions& options);

// The same loaded.
Result<std::shared_ptr<const loader::Model>> tiny_model(const TinyModelOptions& options,
                                                        backend::Backend& backend);

// Any bytes as a file object that keeps them alive.
Result<std::shared_ptr<const gguf::GgufFile>> open_owned(std::vector<std::byte> bytes,
                                                         std::string_view label);

}  // namespace quern::tests_support
