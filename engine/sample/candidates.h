// What the stages of a draw and the draw itself do with candidates.
//
// Every order used here is total (ties go to the lower id) and every sum runs in the candidates'
// order, so no result depends on the sorting algorithm of the standard library.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "engine/sample/stages.h"

namespace quern::engine {

inline bool by_logit(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// Puts the n first elements of [begin, end) by `less` in order at the front.
template <typename Iterator, typename Less>
void sort_front(Iterator begin, Iterator end, size_t n, Less less) {
  const auto size = static_cast<size_t>(end - begin);
  if (n >= size) {
    std::sort(begin, end, less);
  } else if (n < size / 16) {  // a heap of n beats partitioning while n is small
    std::partial_sort(begin, begin + static_cast<std::ptrdiff_t>(n), end, less);
  } else {
    const auto middle = begin + static_cast<std::ptrdiff_t>(n);
    std::nth_element(begin, middle, end, less);
    std::sort(begin, middle, less);
  }
}

double highest_logit(std::span<const Candidate> candidates);
// Sum of exp(logit - max).
double partition_sum(std::span<const Candidate> candidates, double max);

struct Drawn {
  size_t index = 0;  // of the candidate
  double log_p = 0;  // natural logarithm of its probability among the candidates
};
// Inverts the cumulative distribution of the candidates at `u`. Precondition: there are some.
Drawn draw_candidate(ChainState& state, double u);

}  // namespace quern::engine
