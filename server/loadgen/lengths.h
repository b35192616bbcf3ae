// Lengths of prompts and answers: fixed, uniform or from a list.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "server/loadgen/draws.h"

namespace quern::loadgen {

class Lengths {
 public:
  static constexpr int64_t kMost = 1 << 20;

  // "32", "16-512" (uniform, both included), or several of these with commas between, each as
  // likely as the others. `what` names the option in errors.
  static Result<Lengths> parse(std::string_view text, std::string_view what);

  int64_t draw(Draws& draws) const;

 private:
  struct Range {
    int64_t low = 1;
    int64_t high = 1;
  };
  std::vector<Range> ranges_;
};

}  // namespace quern::loadgen
