// What the CPU backend keeps of a weight: the functions of its rows.
#pragma once

#include "kernels/cpu/format_kernels.h"
#include "kernels/cpu/kernel_types.h"
#include "kernels/dispatch/kernel_row.h"

namespace quern::cpu {

struct CpuWeight final : dispatch::Weight {
  MatmulFn matmul = nullptr;
  MatmulFn matmul_one = nullptr;  // for one row of activations
  const FormatKernels* kernels = nullptr;
};

// Every weight that the CPU backend is given comes from itself.
inline const CpuWeight& own(const dispatch::Weight* weight) {
  return *static_cast<const CpuWeight*>(weight);
}

}  // namespace quern::cpu
