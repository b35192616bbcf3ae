// Finds out which row of the kernel table is fastest on this machine, per format and shape class.
//
// All rows of a format give the same bits, so the choice changes speed and nothing else. Leaves
// keeping the result (HardwareProfile::tuned) to the caller.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "config/hardware/profile.h"
#include "kernels/formats/format.h"

namespace quern::cpu {

struct TuneOptions {
  int threads = 0;  // 0: one per physical core
  // Weight formats to tune; empty: all that have more than one row to choose from.
  std::span<const formats::FormatId> formats;
  // Runs of each row per shape class; more is steadier.
  int rounds = 7;
  // Called before each format with its name.
  std::function<void(std::string_view)> progress;
};

// Row names by dispatch::tuned_key, for every format with rows to choose from. A row of lower rank
// stays unless another is at least 5 % faster. Takes some seconds for all formats. Error: too
// little memory for the weights that are multiplied (64 MiB).
Result<std::map<std::string, std::string>> tune_rows(const hardware::HardwareProfile& profile,
                                                     const TuneOptions& options);

}  // namespace quern::cpu
