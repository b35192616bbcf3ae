// A weight matrix where it lies: pointer, format, shape. Never owns memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/formats/format.h"

namespace quern::tensor {

// Row-major [n_rows, n_cols]; a row is n_cols contiguous values (ne0 in GGUF) in `format`, so one
// output feature of a linear layer is one row. Bytes may be unaligned.
struct TensorView {
  const std::byte* data = nullptr;
  const formats::FormatInfo* format = nullptr;
  int64_t n_rows = 0;
  int64_t n_cols = 0;
  int64_t row_bytes = 0;

  const std::byte* row(int64_t i) const { return data + i * row_bytes; }
  bool empty() const { return data == nullptr; }
};

}  // namespace quern::tensor
