// The policies for prompts and answers that outgrow the context, by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace quern::api {

struct OverflowPolicy {
  bool truncate = false;  // a prompt that does not fit loses its oldest part; else an error
  bool shift = false;     // an answer goes on without the oldest tokens; else it ends by length
  int64_t n_keep = 0;     // tokens of the prompt's beginning that stay; -1: all; BOS always does
};

inline constexpr std::string_view kOverflowPolicies =
    "\"error\", \"truncate\", \"shift\" or \"truncate_and_shift\"";

// Of "error", "truncate", "shift", "truncate_and_shift"; nothing for another name.
std::optional<OverflowPolicy> overflow_policy(std::string_view name);

}  // namespace quern::api
