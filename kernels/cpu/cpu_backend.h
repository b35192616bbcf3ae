// The CPU as a backend: operations run at once, on a pool of threads, with the kernel rows that the
// hardware profile allows.
//
// Results follow the reproducibility contract in kernels/cpu/README.md: the same bits for every
// number of threads, set of rows, batch and chunking. One thread at a time may use a backend.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "config/hardware/profile.h"
#include "kernels/backend/backend.h"

namespace quern::cpu {

// Whether threads are bound to processors: kAuto where there are several memory nodes, because
// there memory that a thread touched first is nearer to it than to others.
enum class Pinning : uint8_t { kAuto, kOn, kOff };
// "auto", "on", "off".
Pinning pinning_of(std::string_view name);

struct CpuBackendOptions {
  const hardware::HardwareProfile& profile;  // read during creation only
  int threads = 0;                           // 0: one per physical core
  // "op=row", for example "matmul=matmul.avx2.generic"; holds for the formats that the row takes.
  std::span<const std::string> forced_rows = {};
  // "", or the highest instruction set to use: "scalar" or a name of hardware/isa_list.inc.
  std::string_view isa_cap = {};
  Pinning pinning = Pinning::kAuto;
};

// Errors: a forced row or cap that is unknown or not met by the machine, threads out of range.
Result<std::unique_ptr<backend::Backend>> create_cpu_backend(const CpuBackendOptions& options);

inline constexpr int kMaxThreads = 1024;

}  // namespace quern::cpu
