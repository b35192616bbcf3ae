// What a build without CUDA answers.
#include "kernels/cuda/cuda_devices.h"

namespace quern::cuda {

bool cuda_built_in() { return false; }

Result<std::vector<CudaDevice>> cuda_devices() {
  return Error(ErrorKind::kUnsupported,
               "CUDA is not built into this binary; configure with -DQUERN_CUDA=ON (the cuda "
               "preset) where the CUDA Toolkit is installed, or use --device cpu.");
}

}  // namespace quern::cuda
