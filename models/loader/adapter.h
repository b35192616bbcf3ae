// A loaded low-rank adapter: a GGUF file with general.type "adapter" and adapter.type "lora" whose
// tensors NAME.lora_a and NAME.lora_b belong to the matrix NAME of the model it was trained on.
//
//   adapter.lora.alpha     deltas are multiplied by alpha / rank; absent or 0: by 1
//   general.architecture   that of the model
//   NAME.lora_a            [n_in, rank], in GGUF's order of dimensions
//   NAME.lora_b            [rank, n_out]; rows in the order of the model file's own rows
//
// Any number of matrices of the attention, the dense feed-forward part and the output may be there,
// each with a rank of its own. Source: the files of llama.cpp (convert_lora_to_gguf.py).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/gguf/reader.h"
#include "models/graph/adapter.h"
#include "models/loader/model.h"

namespace quern::loader {

// Far above what is published, so that scratch memory stays within reason.
inline constexpr int64_t kMaxAdapterRank = 4096;

// The largest of some deltas; 0: there are none.
struct AdapterExtent {
  int64_t rank = 0;
  int64_t width = 0;  // outputs of a matrix
};

// What is known from the header.
struct AdapterFacts {
  std::string name;          // general.name, else the file's stem
  std::string architecture;  // of the model
  uint64_t file_bytes = 0;
  float alpha = 0;
  int64_t n_matrices = 0;
  int64_t min_rank = 0;
  int64_t max_rank = 0;
  AdapterExtent layers;
  AdapterExtent output;  // of the output matrix, whose rows are those with logits
};

// Checks all that can be checked without the model. Errors name the key or tensor: no adapter, one
// of another kind, tensors without their other half, ranks that differ or are out of range, an
// alpha that is no number.
Result<AdapterFacts> read_adapter_facts(const gguf::GgufFile& file);

class Adapter {
 public:
  // Binds the file's tensors, where they are mapped, to the matrices of `model`, which `backend`
  // has loaded. Errors, beside those of read_adapter_facts(): another architecture, a matrix that
  // the model has not or cannot adapt, shapes that do not fit.
  static Result<std::shared_ptr<const Adapter>> load(std::shared_ptr<const gguf::GgufFile> file,
                                                     const Model& model, backend::Backend& backend);

  const AdapterFacts& facts() const { return facts_; }
  const gguf::GgufFile& file() const { return *file_; }
  std::shared_ptr<const graph::AdapterWeights> weights() const { return weights_; }

 private:
  Adapter() = default;

  AdapterFacts facts_;
  std::shared_ptr<const gguf::GgufFile> file_;
  std::shared_ptr<const graph::AdapterWeights> weights_;
};

}  // namespace quern::loader
