// Measures what this machine's processor can do at most: the ceilings that kernels and predictions
// are compared with.
//
// Each figure is the best of several short runs (a ceiling, so noise only lowers it). Takes a few
// seconds. Leaves the choice of where to keep the result to the caller.
#pragma once

#include <functional>
#include <string_view>

#include "config/base/result.h"
#include "config/hardware/profile.h"

namespace quern::cpu {

struct MeasureOptions {
  int threads = 0;  // 0: one per physical core
  // Called before each part with what it is, e.g. "int8 rate (avx512vnni)".
  std::function<void(std::string_view)> progress;
};

// All fields of hardware::Measured but the date. A part that cannot be measured (no room for a
// temporary file, say) stays 0. Error: too little memory for the smallest buffer.
Result<hardware::Measured> measure_cpu(const hardware::HardwareProfile& profile,
                                       const MeasureOptions& options);

}  // namespace quern::cpu
