// A matrix of a checkpoint as rows of floats, however it is stored there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "models/safetensors/checkpoint.h"

namespace quern::huggingface {

class RowReader {
 public:
  RowReader(uint64_t n_rows, uint64_t n_cols) : n_rows_(n_rows), n_cols_(n_cols) {}
  virtual ~RowReader() = default;
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  uint64_t n_rows() const { return n_rows_; }
  uint64_t n_cols() const { return n_cols_; }
  // Writes these rows (each below n_rows()) one after the other to `out`. From any thread.
  virtual void read_rows(std::span<const uint64_t> rows, float* out) const = 0;

 private:
  uint64_t n_rows_;
  uint64_t n_cols_;
};

// A tensor of a float type, its dimensions but the last taken as rows. A vector
// is one row. Precondition: is_float(), not empty.
std::unique_ptr<RowReader> plain_reader(const safetensors::Tensor& tensor);

// For a tensor that does not go with the others of its matrix, or with the method of quantization.
Error misfit(const safetensors::Tensor& tensor, const std::string& expected);

// Values that are in no tensor, as one row.
std::unique_ptr<RowReader> constant_reader(std::vector<float> values);

}  // namespace quern::huggingface
