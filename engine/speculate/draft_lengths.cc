// Greedy: tokens of all streams in the order of their worth; what pays best is a beginning of that
// order. n_rows bounds the work.
#include "engine/speculate/draft_lengths.h"

#include <algorithm>

namespace quern::engine {
namespace {

// The next token of a stream's draft, by its worth.
struct Next {
  double worth;
  size_t chance;
  bool operator<(const Next& other) const {
    return worth != other.worth ? worth < other.worth : chance > other.chance;
  }
};

class Yield {
 public:
  Yield(const StepCosts& costs, const DraftLimits& limits) : costs_(costs), limits_(limits) {}

  double of(double n_tokens, int32_t n_drafted, int32_t n_levels) const {
    const double ns = costs_.rows_ns(limits_.n_streams + n_drafted) + n_levels * limits_.model_ns;
    return (limits_.n_streams + n_tokens) / ns;
  }

 private:
  const StepCosts& costs_;
  const DraftLimits& limits_;
};

}  // namespace

std::vector<int32_t> choose_draft_lengths(std::span<const DraftChance> chances,
                                          const StepCosts& costs, const DraftLimits& limits) {
  std::vector<int32_t> best(chances.size(), 0);
  if (!(costs.rows_ns(1) > 0)) return best;
  const Yield yield(costs, limits);
  const double plain = yield.of(0, 0, 0);

  std::vector<Next> heap;
  for (size_t i = 0; i < chances.size(); ++i) {
    if (chances[i].max_tokens > 0) heap.push_back({chances[i].acceptance, i});
  }
  std::make_heap(heap.begin(), heap.end());
  std::vector<int32_t> lengths(chances.size(), 0);
  double best_yield = plain;
  double worth = 0;
  int32_t n_levels = 0;
  for (int32_t n = 1; n <= limits.n_rows && !heap.empty(); ++n) {
    std::pop_heap(heap.begin(), heap.end());
    const Next next = heap.back();
    heap.pop_back();
    const DraftChance& chance = chances[next.chance];
    worth += next.worth;
    const int32_t length = ++lengths[next.chance];
    if (chance.by_model) n_levels = std::max(n_levels, length);
    if (length < chance.max_tokens) {
      heap.push_back({next.worth * chance.acceptance, next.chance});
      std::push_heap(heap.begin(), heap.end());
    }
    if (yield.of(worth, n, n_levels) > best_yield) {
      best_yield = yield.of(worth, n, n_levels);
      best = lengths;
    }
  }

  int32_t n_drafted = 0;
  for (const int32_t length : best) n_drafted += length;
  for (size_t i = 0; i < chances.size() && n_drafted < limits.n_rows; ++i) {
    if (!chances[i].probe || best[i] > 0 || chances[i].max_tokens == 0) continue;
    // What a longest draft that comes true would yield.
    const int32_t n = std::min(chances[i].max_tokens, limits.n_rows);
    if (yield.of(n, n, chances[i].by_model ? n : 0) <= plain) continue;
    best[i] = 1;
    ++n_drafted;
  }
  return best;
}

}  // namespace quern::engine
