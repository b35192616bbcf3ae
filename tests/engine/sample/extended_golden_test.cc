// DRY, XTC, top-n-sigma, dynamic temperature and mirostat against their definitions, restated in
// numpy and frozen in tests/golden/sampler/extended.txt by make_extended_golden.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "engine/sample/candidates.h"
#include "engine/sample/memory.h"
#include "engine/sample/mirostat.h"
#include "engine/sample/sampler.h"

namespace quern::engine {
namespace {

struct Case {
  std::string name;
  std::vector<float> parameters;
  std::vector<TokenId> history;
  std::vector<TokenId> breakers;
  std::vector<float> logits;
  std::vector<double> probabilities;
};

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

std::vector<Case> read_cases() {
  std::ifstream file(std::string(QUERN_SOURCE_DIR) + "/tests/golden/sampler/extended.txt");
  EXPECT_TRUE(file.is_open());
  std::vector<Case> cases;
  while (file.peek() != std::ifstream::traits_type::eof()) {
    Case one;
    one.name = read_list<std::string>(file, "case").at(0);
    one.parameters = read_list<float>(file, "parameters");
    one.history = read_list<TokenId>(file, "history");
    one.breakers = read_list<TokenId>(file, "breakers");
    one.logits = read_list<float>(file, "logits");
    one.probabilities = read_list<double>(file, "probabilities");
    cases.push_back(std::move(one));
  }
  return cases;
}

SamplingParams params_of(const Case& one) {
  SamplingParams params;
  params.temperature = 1;
  const std::vector<float>& p = one.parameters;
  if (one.name == "top_n_sigma") params.top_n_sigma = p[0];
  if (one.name == "xtc") {
    params.xtc_probability = 1;
    params.xtc_threshold = p[0];
  }
  if (one.name == "dry") {
    params.dry_multiplier = p[0];
    params.dry_base = p[1];
    params.dry_allowed_length = static_cast<int32_t>(p[2]);
    params.dry_window = static_cast<int32_t>(p[3]);
  }
  if (one.name == "dynatemp") {
    params.temperature = p[0];
    params.dynatemp_range = p[1];
    params.dynatemp_exponent = p[2];
  }
  if (one.name == "mirostat") params.mirostat = static_cast<int32_t>(p[0]);
  return params;
}

std::vector<double> distribution(const std::vector<Candidate>& candidates, size_t n_vocab) {
  std::vector<double> out(n_vocab, 0.0);
  const double max = highest_logit(candidates);
  double sum = 0;
  for (const Candidate& c : candidates) sum += std::exp(c.logit - max);
  for (const Candidate& c : candidates) {
    out[static_cast<size_t>(c.id)] = std::exp(c.logit - max) / sum;
  }
  return out;
}

// Runs the stages as the Sampler does; mirostat's bound as the case has it.
std::vector<double> run(const Case& one, const SamplingParams& params) {
  std::vector<float> logits = one.logits;
  SampleMemory memory(params);
  for (const TokenId token : one.history) {
    if (!memory.wants_text()) break;
    const bool breaks =
        std::find(one.breakers.begin(), one.breakers.end(), token) != one.breakers.end();
    memory.note(breaks ? "a\n" : "abc");
  }
  ChainState state;
  state.logits = logits;
  state.history = one.history;
  state.breakers = memory.breakers();
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
  EXPECT_EQ(std::count(state.counts.begin(), state.counts.end(), 0), std::ssize(state.counts));
  if (params.mirostat != 0) {
    double mu = one.parameters[1];
    draw_mirostat(state, params, 0.5, mu);
  }
  return distribution(state.candidates, logits.size());
}

TEST(ExtendedSamplerGolden, AgreesWithTheDefinitions) {
  std::map<std::string, int> seen;
  for (const Case& one : read_cases()) {
    const int number = ++seen[one.name];
    SCOPED_TRACE(one.name + " " + std::to_string(number));
    const std::vector<double> got = run(one, params_of(one));
    ASSERT_EQ(got.size(), one.probabilities.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], one.probabilities[i], 2e-6) << "token " << i;
      EXPECT_EQ(got[i] == 0, one.probabilities[i] == 0) << "token " << i;
    }
  }
  const std::map<std::string, int> expected = {
      {"top_n_sigma", 3}, {"xtc", 4}, {"dry", 18}, {"dynatemp", 3}, {"mirostat", 8}};
  EXPECT_EQ(seen, expected);
}

// The bound moves by eta times the surprise of the drawn token beyond tau, in the distribution it
// was drawn from.
TEST(ExtendedSamplerGolden, MirostatMovesItsBoundByTheSurprise) {
  for (const Case& one : read_cases()) {
    if (one.name != "mirostat") continue;
    const SamplingParams params = params_of(one);
    std::vector<float> logits = one.logits;
    for (const double u : {0.0, 0.3, 0.6, 0.999999}) {
      ChainState state;
      state.logits = logits;
      for (size_t i = 0; i < logits.size(); ++i) {
        state.candidates.push_back({static_cast<TokenId>(i), logits[i]});
      }
      double mu = one.parameters[1];
      const TokenId token = draw_mirostat(state, params, u, mu);
      const double surprise = -std::log2(one.probabilities[static_cast<size_t>(token)]);
      EXPECT_NEAR(mu, one.parameters[1] - 0.1 * (surprise - 5.0), 1e-5);
    }
  }
}

}  // namespace
}  // namespace quern::engine
