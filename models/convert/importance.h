// Importance matrices: for each weight matrix of a model, how much each of its input columns
// matters (the mean square of what came in while the model read a text).
//
// The file is a GGUF file with general.type "imatrix": for a matrix NAME a tensor NAME.in_sum2, F32
// [columns, matrices], the sums of squares, and NAME.counts, F32 [1, matrices], of how many rows;
// "matrices" is 1, or the number of experts. Source: llama.cpp, tools/imatrix.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "models/gguf/reader.h"

namespace quern::convert {

// Of one tensor; a stack of experts has several matrices.
struct Importance {
  uint64_t n_columns = 0;
  uint64_t n_matrices = 0;
  // [n_matrices][n_columns], finite and not negative; all 1 where nothing came in, as
  // llama-quantize takes it: such a matrix is encoded with weights that are all alike.
  std::vector<float> means;
  uint64_t n_unseen = 0;  // matrices into which nothing came

  // The means of one matrix. One matrix stands for all.
  const float* of(uint64_t matrix) const;
};

class ImportanceFile {
 public:
  // Errors name the file and the tensor: not an importance matrix, sums without counts, a wrong
  // format or shape, values that are not finite.
  static Result<std::shared_ptr<const ImportanceFile>> open(const std::filesystem::path& path);

  const Importance* find(std::string_view tensor) const;  // null when absent
  size_t size() const { return entries_.size(); }
  uint64_t n_chunks() const { return n_chunks_; }
  const std::string& dataset() const { return dataset_; }  // the first one, as the file names it
  const std::string& label() const { return label_; }

 private:
  ImportanceFile() = default;
  Status read(const gguf::GgufFile& file);

  std::map<std::string, Importance, std::less<>> entries_;
  uint64_t n_chunks_ = 0;
  std::string dataset_;
  std::string label_;
};

}  // namespace quern::convert
