#include "models/fit/recommend.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>

#include "config/options/options.h"
#include "models/graph/forward.h"

namespace quern::fit {
namespace {

using options::format_bytes;

std::string number(const char* format, double value) {
  char buffer[48];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

std::string name_of(const Candidate& candidate) {
  return candidate.planned ? candidate.recipe + ", to be quantized" : candidate.recipe;
}

class Choice {
 public:
  Choice(std::span<const Candidate> candidates, const Limits& limits)
      : candidates_(candidates), limits_(limits) {}

  Recommendation run() const {
    const std::vector<size_t> fitting = those([&](const Candidate& candidate) {
      return candidate.memory.total() <= limits_.memory_bytes;
    });
    if (fitting.empty()) return nothing_fits();
    std::vector<size_t> fast;
    for (const size_t i : fitting) {
      if (is_fast(candidates_[i])) fast.push_back(i);
    }
    const std::vector<size_t>& pool = fast.empty() ? fitting : fast;
    const bool measured = std::all_of(pool.begin(), pool.end(),
                                      [&](size_t i) { return candidates_[i].error.has_value(); });
    const size_t best = measured ? least_error(pool) : most_bits(pool);
    return {best, !fast.empty(), why(best, measured, !fast.empty())};
  }

 private:
  std::vector<size_t> those(const std::function<bool(const Candidate&)>& wanted) const {
    std::vector<size_t> found;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      if (wanted(candidates_[i])) found.push_back(i);
    }
    return found;
  }

  // A machine that was not measured is not held against a candidate.
  bool is_fast(const Candidate& candidate) const {
    return candidate.decode.predicted <= 0 || candidate.decode.predicted >= limits_.decode_rate;
  }

  // The first of equals; a file that is there comes before what would have to be made.
  size_t least_error(const std::vector<size_t>& pool) const {
    return *std::min_element(pool.begin(), pool.end(), [&](size_t a, size_t b) {
      const bool none_a = *candidates_[a].error < kNoError;
      const bool none_b = *candidates_[b].error < kNoError;
      if (none_a != none_b) return none_a;
      if (none_a) return candidates_[a].file_bytes < candidates_[b].file_bytes;
      return *candidates_[a].error < *candidates_[b].error;
    });
  }

  size_t most_bits(const std::vector<size_t>& pool) const {
    return *std::max_element(pool.begin(), pool.end(), [&](size_t a, size_t b) {
      return candidates_[a].bits_per_weight < candidates_[b].bits_per_weight;
    });
  }

  std::string why(size_t best, bool measured, bool fast) const {
    const Candidate& candidate = candidates_[best];
    std::string text = name_of(candidate) + ": ";
    if (!measured) {
      text += "most bits per weight";
    } else if (*candidate.error == 0) {
      text += "smallest without any error of the weights";
    } else if (*candidate.error < kNoError) {
      text += "smallest with hardly any error of the weights (" + error_text(candidate) + ")";
    } else {
      text += "least error of the weights (" + error_text(candidate) + ")";
    }
    text += " of those that fit in " + format_bytes(limits_.memory_bytes);
    if (limits_.decode_rate > 0 && candidate.decode.predicted > 0) {
      const std::string rate = number("%.3g", limits_.decode_rate) + " tokens/s";
      text +=
          fast ? " and decode at least " + rate : "; none of them is predicted to decode " + rate;
    }
    if (!measured) text += "; errors were not measured: that needs a file of full precision beside";
    return text;
  }

  static std::string error_text(const Candidate& candidate) {
    return number("%.2g", 100 * *candidate.error) + " %";
  }

  Recommendation nothing_fits() const {
    if (candidates_.empty()) return {std::nullopt, false, "there is nothing to choose from"};
    const Candidate& smallest = *std::min_element(
        candidates_.begin(), candidates_.end(),
        [](const Candidate& a, const Candidate& b) { return a.memory.total() < b.memory.total(); });
    return {std::nullopt, false,
            "nothing fits in " + format_bytes(limits_.memory_bytes) + ": the least, " +
                name_of(smallest) + ", needs " + format_bytes(smallest.memory.total()) + " (" +
                format_bytes(smallest.memory.weights) + " for weights, " +
                format_bytes(smallest.memory.kv) + " for keys and values, " +
                format_bytes(smallest.memory.scratch) + " for a step); " + what_helps(smallest)};
  }

  std::string what_helps(const Candidate& smallest) const {
    const uint64_t fixed = smallest.memory.weights + smallest.memory.scratch;
    const uint64_t per_token =
        smallest.kv_bytes_per_token * static_cast<uint64_t>(std::max(limits_.run.sequences, 1));
    constexpr uint64_t kLeastContext = 256;
    const uint64_t room = limits_.memory_bytes > fixed ? limits_.memory_bytes - fixed : 0;
    constexpr auto kPage = static_cast<uint64_t>(graph::kPageTokens);  // begun ones count in full
    const uint64_t tokens = per_token > 0 ? room / per_token / kPage * kPage : 0;
    if (tokens >= kLeastContext) {
      return "with a context of " + std::to_string(tokens) + " tokens (-c " +
             std::to_string(tokens) + "), or with fewer sequences (-p), it would fit";
    }
    return limits_.run.sequences > 1 && room > 0
               ? "ask for fewer sequences (-p) and a shorter context (-c), or take a smaller model"
               : "take a smaller model, or a machine with more memory";
  }

  std::span<const Candidate> candidates_;
  const Limits& limits_;
};

}  // namespace

Recommendation recommend(std::span<const Candidate> candidates, const Limits& limits) {
  return Choice(candidates, limits).run();
}

}  // namespace quern::fit
