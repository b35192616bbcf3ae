// Lists GPUs without linking any vendor library, so that `hardware show` is truthful on a machine
// where the GPU backend is not built in.
#pragma once

#include <vector>

#include "config/hardware/profile.h"

namespace quern::hardware {

// NVIDIA GPUs as the driver lists them under /proc/driver/nvidia/gpus; memory size is not known
// there and stays 0 until a backend fills it in.
std::vector<GpuInfo> probe_gpus();

}  // namespace quern::hardware
