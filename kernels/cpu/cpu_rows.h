// The table of CPU kernel rows.
#pragma once

#include <span>

#include "kernels/cpu/kernel_types.h"
#include "kernels/dispatch/kernel_row.h"

namespace quern::cpu {

// All rows of this build, whatever the machine has.
std::span<const dispatch::KernelRow> cpu_rows();

// The quantization of activations: not an op of its own, so not a row. All give the same bits.
QuantizeFn best_quantize(hardware::IsaMask isa);

}  // namespace quern::cpu
