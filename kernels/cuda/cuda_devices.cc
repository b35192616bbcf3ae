// Asks the CUDA runtime, which asks the driver. The runtime is linked statically and finds the
// driver's library when it is first called, so a machine without one gets an error, not a crash.
#include "kernels/cuda/cuda_devices.h"

#include <cuda_runtime_api.h>

namespace quern::cuda {
namespace {

Error failed(std::string_view what, cudaError_t code) {
  return Error(ErrorKind::kUnsupported,
               "CUDA cannot be used: " + std::string(what) + ": " + cudaGetErrorString(code) +
                   "; check the NVIDIA driver (nvidia-smi), or use --device cpu.");
}

}  // namespace

bool cuda_built_in() { return true; }

Result<std::vector<CudaDevice>> cuda_devices() {
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted == cudaErrorNoDevice) return std::vector<CudaDevice>();
  if (counted != cudaSuccess) return failed("the devices cannot be counted", counted);
  std::vector<CudaDevice> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    size_t free_bytes = 0;
    size_t all_bytes = 0;
    cudaError_t code = cudaGetDeviceProperties(&properties, i);
    if (code == cudaSuccess) code = cudaSetDevice(i);
    if (code == cudaSuccess) code = cudaMemGetInfo(&free_bytes, &all_bytes);
    if (code != cudaSuccess)
      return failed("device " + std::to_string(i) + " does not answer", code);
    CudaDevice device;
    device.name = properties.name;
    device.major = properties.major;
    device.minor = properties.minor;
    device.multiprocessors = properties.multiProcessorCount;
    device.memory_bytes = all_bytes;
    device.free_bytes = free_bytes;
    devices.push_back(std::move(device));
  }
  return devices;
}

}  // namespace quern::cuda
