// A row of a kernel table: what it computes, what it needs, how good it is, and its function.
//
// Rows live beside their kernels (kernels/cpu/cpu_rows.cc). A row is chosen once, at load, for each
// weight or op; the choice is printed and can be forced by name. All rows of one (op, format) give
// the same bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/hardware/profile.h"
#include "kernels/formats/format.h"
#include "kernels/ops/ops.h"
#include "kernels/tensor/tensor_view.h"

namespace quern::dispatch {

struct KernelRow {
  std::string_view name;  // "matmul.avx512vnni.q4_k"; what --kernel takes
  ops::OpId op;
  std::optional<formats::FormatId> format;  // nothing: any format
  hardware::IsaMask needs;                  // all of these bits
  int64_t n_in_multiple;                    // shape limit: divides the weight's columns
  int rank;                                 // lower is better; the oracle is the highest
  const void* function;                     // address of a pointer of the op's function type
};

// A weight ready to multiply: where it lies and how.
struct Weight {
  virtual ~Weight() = default;  // backends add what they need

  tensor::TensorView view;
  const KernelRow* matmul_row = nullptr;
  std::string name;  // tensor name in the file
};

}  // namespace quern::dispatch
