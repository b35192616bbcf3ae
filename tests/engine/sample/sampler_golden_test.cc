// The stages against Hugging Face transformers' own logits processors, frozen in
// tests/golden/sampler/sampler.txt by make_sampler_golden.py.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/sample/stages.h"

namespace quern::engine {
namespace {

template <typename T>
std::vector<T> read_list(std::ifstream& file, const std::string& expected_key) {
  std::string line;
  std::getline(file, line);
  std::istringstream words(line);
  std::string key;
  words >> key;
  EXPECT_EQ(key, expected_key);
  std::vector<T> values;
  T value;
  while (words >> value) values.push_back(value);
  return values;
}

std::vector<double> distribution_of(std::vector<float> logits, const std::vector<TokenId>& history,
                                    const SamplingParams& params) {
  ChainState state;
  state.logits = logits;
  state.history = history;
  state.counts.assign(logits.size(), 0);
  bool gathered = false;
  for (const Stage& stage : sampler_stages()) {
    if (stage.kind == StageKind::kCandidates && !gathered) {
      for (size_t i = 0; i < logits.size(); ++i) {
        state.candidates.push_back({static_cast<TokenId>(i), logits[i]});
      }
      gathered = true;
    }
    if (stage.active(params)) stage.apply(state, params);
  }
  std::vector<double> probabilities(logits.size(), 0.0);
  double sum = 0;
  for (const Candidate& c : state.candidates) sum += std::exp(static_cast<double>(c.logit));
  for (const Candidate& c : state.candidates) {
    probabilities[static_cast<size_t>(c.id)] = std::exp(static_cast<double>(c.logit)) / sum;
  }
  return probabilities;
}

TEST(SamplerGolden, AgreesWithTransformers) {
  std::ifstream file(std::string(QUERN_SOURCE_DIR) + "/tests/golden/sampler/sampler.txt");
  ASSERT_TRUE(file.is_open());
  std::string line;
  std::getline(file, line);  // version
  int n_cases = 0;
  while (file.peek() != std::ifstream::traits_type::eof()) {
    const auto numbers = read_list<float>(file, "case");
    ASSERT_EQ(numbers.size(), 6U);
    SamplingParams params;
    params.temperature = numbers[0];
    params.top_k = static_cast<int32_t>(numbers[1]);
    params.top_p = numbers[2];
    params.min_p = numbers[3];
    params.typical_p = numbers[4];
    params.repetition_penalty = numbers[5];
    const auto history = read_list<TokenId>(file, "history");
    const auto logits = read_list<float>(file, "logits");
    const auto expected = read_list<double>(file, "probabilities");
    ASSERT_EQ(logits.size(), expected.size());
    const auto got = distribution_of(logits, history, params);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], 2e-6) << "case " << n_cases << ", token " << i;
      EXPECT_EQ(got[i] == 0, expected[i] == 0) << "case " << n_cases << ", token " << i;
    }
    ++n_cases;
  }
  EXPECT_EQ(n_cases, 12);
}

}  // namespace
}  // namespace quern::engine
