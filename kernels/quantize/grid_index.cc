#include "kernels/quantize/grid_index.h"

#include <algorithm>
#include <span>
#include <vector>

#include "config/base/check.h"
#include "kernels/formats/codebooks.h"

namespace quern::quantize {
namespace {

struct Halves {
  int first;
  int second;
  int entry;
};

// `n_values` bytes of an entry, each one of `levels`.
template <typename Entry>
GridIndex make_index(std::span<const Entry> grid, std::span<const int8_t> levels) {
  constexpr int kHalf = static_cast<int>(sizeof(Entry)) / 2;
  std::vector<Halves> all;
  for (size_t i = 0; i < grid.size(); ++i) {
    int half[2] = {0, 0};
    for (int k = 2 * kHalf - 1; k >= 0; --k) {
      const auto value = static_cast<int8_t>((grid[i] >> (8 * k)) & 0xFF);
      const auto level = std::find(levels.begin(), levels.end(), value);
      CHECK(level != levels.end());
      int& code = half[k / kHalf];
      code = code * static_cast<int>(levels.size()) + static_cast<int>(level - levels.begin());
    }
    all.push_back({half[0], half[1], static_cast<int>(i)});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Halves& a, const Halves& b) { return a.first < b.first; });
  GridIndex index{};
  for (size_t i = 0; i < all.size(); ++i) {
    if (i == 0 || all[i].first != all[i - 1].first) {
      index.runs[index.n_runs++].first_half = static_cast<uint8_t>(all[i].first);
    }
    index.runs[index.n_runs - 1].end = static_cast<uint16_t>(i + 1);
    index.second_half[i] = static_cast<uint8_t>(all[i].second);
    index.entry[i] = static_cast<uint16_t>(all[i].entry);
  }
  return index;
}

constexpr int8_t kIq2Levels[] = {8, 25, 43};
constexpr int8_t kIq3XxsLevels[] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr int8_t kIq3SLevels[] = {1, 3, 5, 7, 9, 11, 13, 15};
constexpr int8_t kIq1Levels[] = {-8, 0, 8};

}  // namespace

const GridIndex& iq2_xxs_index() {
  static const GridIndex index = make_index<uint64_t>(formats::kIq2XxsGrid, kIq2Levels);
  return index;
}

const GridIndex& iq2_xs_index() {
  static const GridIndex index = make_index<uint64_t>(formats::kIq2XsGrid, kIq2Levels);
  return index;
}

const GridIndex& iq2_s_index() {
  static const GridIndex index = make_index<uint64_t>(formats::kIq2SGrid, kIq2Levels);
  return index;
}

const GridIndex& iq3_xxs_index() {
  static const GridIndex index = make_index<uint32_t>(formats::kIq3XxsGrid, kIq3XxsLevels);
  return index;
}

const GridIndex& iq3_s_index() {
  static const GridIndex index = make_index<uint32_t>(formats::kIq3SGrid, kIq3SLevels);
  return index;
}

const GridIndex& iq1_index() {
  static const GridIndex index = make_index<uint64_t>(formats::kIq1Grid, kIq1Levels);
  return index;
}

}  // namespace quern::quantize
