// The CUDA devices that this process may use, as the driver tells.
//
// Builds without CUDA have the same functions; they say that it is not built in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/result.h"

namespace quern::cuda {

struct CudaDevice {
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  int multiprocessors = 0;
  uint64_t memory_bytes = 0;
  uint64_t free_bytes = 0;
};

// Whether this binary was built with CUDA.
bool cuda_built_in();

// All devices, in the driver's order (CUDA_VISIBLE_DEVICES is respected). Errors: not built in; no
// driver, or one too old for the runtime; a device that does not answer. No device: an empty list.
Result<std::vector<CudaDevice>> cuda_devices();

}  // namespace quern::cuda
