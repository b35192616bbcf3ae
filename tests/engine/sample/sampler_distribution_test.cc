// Draws against the exact distribution that an independent, slow and simple chain computes:
// full sorts, std::exp, one stage after the other. Chi-square over the support, and never a token
// outside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <vector>

#include "engine/sample/sampler.h"

namespace quern::engine {
namespace {

using Distribution = std::vector<std::pair<int, double>>;  // (token, weight), any order

void normalise(Distribution& d) {
  double sum = 0;
  for (const auto& entry : d) sum += entry.second;
  for (auto& entry : d) entry.second /= sum;
}

void cut_at_mass(Distribution& d, double mass) {
  double sum = 0;
  size_t keep = 0;
  while (keep < d.size() && (keep == 0 || sum < mass)) sum += d[keep++].second;
  d.resize(keep);
}

void sort_by_weight(Distribution& d) {
  std::stable_sort(d.begin(), d.end(), [](auto& a, auto& b) { return a.second > b.second; });
}

Distribution reference(const std::vector<float>& logits, const SamplingParams& params) {
  Distribution d;
  for (size_t i = 0; i < logits.size(); ++i) {
    d.emplace_back(static_cast<int>(i), std::exp(static_cast<double>(logits[i])));
  }
  normalise(d);
  if (params.top_k > 0) {
    sort_by_weight(d);
    d.resize(std::min(d.size(), static_cast<size_t>(params.top_k)));
    normalise(d);
  }
  if (params.typical_p < 1) {
    double entropy = 0;
    for (const auto& [token, p] : d) entropy -= p * std::log(p);
    std::stable_sort(d.begin(), d.end(), [&](auto& a, auto& b) {
      return std::fabs(-std::log(a.second) - entropy) < std::fabs(-std::log(b.second) - entropy);
    });
    cut_at_mass(d, params.typical_p);
    normalise(d);
  }
  if (params.top_p < 1) {
    sort_by_weight(d);
    cut_at_mass(d, params.top_p);
    normalise(d);
  }
  if (params.min_p > 0) {
    double best = 0;
    for (const auto& entry : d) best = std::max(best, entry.second);
    std::erase_if(d, [&](auto& entry) { return entry.second < best * params.min_p; });
  }
  for (auto& entry : d) entry.second = std::pow(entry.second, 1.0 / params.temperature);
  normalise(d);
  return d;
}

// Pools tokens of small expectation; returns the statistic's excess over its mean in standard
// deviations.
double chi_square_z(const Distribution& expected, std::map<int, int>& counts, int n) {
  double statistic = 0;
  double pooled_expected = 0;
  double pooled_seen = 0;
  int cells = 0;
  for (const auto& [token, p] : expected) {
    const double e = p * n;
    const double seen = counts[token];
    if (e < 10) {
      pooled_expected += e;
      pooled_seen += seen;
      continue;
    }
    statistic += (seen - e) * (seen - e) / e;
    ++cells;
  }
  if (pooled_expected > 0) {
    statistic += (pooled_seen - pooled_expected) * (pooled_seen - pooled_expected) /
                 std::max(pooled_expected, 1.0);
    ++cells;
  }
  const double freedom = std::max(1, cells - 1);
  return (statistic - freedom) / std::sqrt(2 * freedom);
}

TEST(SamplerDistribution, MatchesAnIndependentChain) {
  struct Case {
    float temperature, top_p, min_p, typical_p;
    int top_k;
  };
  const Case cases[] = {
      {1, 1, 0, 1, 0},    {0.7F, 1, 0, 1, 0},          {1.5F, 1, 0, 1, 0},
      {1, 0.9F, 0, 1, 0}, {1, 0.3F, 0, 1, 0},          {1, 1, 0.1F, 1, 0},
      {1, 1, 0, 0.8F, 0}, {1, 1, 0, 0.2F, 0},          {1, 1, 0, 1, 40},
      {1, 1, 0, 1, 5},    {0.8F, 0.95F, 0.05F, 1, 40}, {1.2F, 0.9F, 0.02F, 0.9F, 100},
      {100, 1, 0, 1, 7},
  };
  constexpr int kDraws = 8000;
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 2);
  uint64_t seed = 1;
  for (const Case& one : cases) {
    std::vector<float> logits(200);
    for (float& x : logits) x = normal(random);
    SamplingParams params;
    params.temperature = one.temperature;
    params.top_p = one.top_p;
    params.min_p = one.min_p;
    params.typical_p = one.typical_p;
    params.top_k = one.top_k;
    params.seed = seed++;
    const Distribution expected = reference(logits, params);
    std::map<int, int> counts;
    Sampler sampler(200);
    for (int i = 0; i < kDraws; ++i) {
      std::vector<float> row = logits;
      const auto sample = sampler.sample({row, {}, static_cast<uint64_t>(i), std::nullopt}, params);
      ASSERT_TRUE(sample.ok());
      ++counts[sample->token];
    }
    int inside = 0;
    for (const auto& [token, p] : expected) inside += counts[token];
    EXPECT_EQ(inside, kDraws) << "a token outside the support, case " << seed - 1;
    EXPECT_LT(chi_square_z(expected, counts, kDraws), 4.0) << "case " << seed - 1;
  }
}

// The fast paths for large vocabularies pick the same sets as full sorts.
TEST(SamplerDistribution, LargeVocabularySupportsAreExact) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1.5F);
  std::vector<float> logits(50000);
  for (float& x : logits) x = normal(random);
  for (const int k : {0, 40, 3000, 40000}) {
    for (const float p : {1.0F, 0.5F, 0.99F}) {
      SamplingParams params;
      params.temperature = 1;
      params.top_k = k;
      params.top_p = p;
      const Distribution expected = reference(logits, params);
      ChainState state;
      state.counts.assign(logits.size(), 0);
      for (size_t i = 0; i < logits.size(); ++i) {
        state.candidates.push_back({static_cast<TokenId>(i), logits[i]});
      }
      for (const Stage& stage : sampler_stages()) {
        if (stage.kind == StageKind::kCandidates && stage.active(params)) {
          stage.apply(state, params);
        }
      }
      // Rounding of the sums may move the border by one token.
      EXPECT_NEAR(static_cast<double>(state.candidates.size()),
                  static_cast<double>(expected.size()), 1)
          << k << " " << p;
      std::vector<int> got;
      std::vector<int> want;
      for (const Candidate& c : state.candidates) got.push_back(c.id);
      for (const auto& entry : expected) want.push_back(entry.first);
      std::sort(got.begin(), got.end());
      std::sort(want.begin(), want.end());
      std::vector<int> difference;
      std::set_symmetric_difference(got.begin(), got.end(), want.begin(), want.end(),
                                    std::back_inserter(difference));
      EXPECT_LE(difference.size(), 1U);
    }
  }
}

}  // namespace
}  // namespace quern::engine
