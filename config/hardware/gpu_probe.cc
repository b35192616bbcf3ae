#include "config/hardware/gpu_probe.h"

#include <filesystem>
#include <fstream>
#include <string>

namespace quern::hardware {

std::vector<GpuInfo> probe_gpus() {
  std::vector<GpuInfo> gpus;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    std::ifstream in(entry.path() / "information");
    std::string line;
    while (std::getline(in, line)) {
      if (!line.starts_with("Model:")) continue;
      const size_t start = line.find_first_not_of(" \t", 6);
      GpuInfo gpu;
      gpu.name = start == std::string::npos ? "NVIDIA GPU" : line.substr(start);
      gpus.push_back(gpu);
    }
  }
  return gpus;
}

}  // namespace quern::hardware
