// The version of the reproducibility contract that this program keeps: it rises when the same
// request may give other bytes than before, for whatever reason.
#pragma once

#include <string_view>

namespace quern::engine {

inline constexpr std::string_view kContract = "c3";

}  // namespace quern::engine
