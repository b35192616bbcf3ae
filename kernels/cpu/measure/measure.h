// Measures what this machine's processor can do at most: the ceilings that kernels and predictions
// are compared with.
//
// Each figure is the best of several short runs (a ceiling, so noise only lowers it). Takes a few
// seconds. Leaves the choice of where to keep the result to the caller.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
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

// The ceilings of this moment. Machines that share their memory and processors with others change
// from second to second, so a rate is compared with what was possible while it was reached.
class CeilingProbe {
 public:
  // `mapped`: what is read, as a rule the weights in their mapping; it must outlive the probe.
  // Below 64 MiB, which caches could hold, reading is not measured.
  CeilingProbe(const hardware::HardwareProfile& profile, int threads,
               std::span<const std::byte> mapped);

  // Takes some 20 ms. Fills mapped_read_bandwidth_gbs, int8_tops and int8_tile_tops; 0 where not
  // measured.
  hardware::Measured sample() const;

 private:
  hardware::IsaMask isa_;
  int threads_;
  std::span<const std::byte> mapped_;
};

}  // namespace quern::cpu
