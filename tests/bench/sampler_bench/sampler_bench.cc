// Time of a draw, per setting and vocabulary size; for DRY also per length of the sequence.
//
//   usage: sampler_bench [ROUNDS]     (50 by default)
//
// Logits are normal with the spread of a model's; each round draws at the next position. Medians
// of single draws in microseconds. "hot" repeats one word, DRY's worst case.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/sample/memory.h"
#include "engine/sample/sampler.h"

namespace quern::engine {
namespace {

double now_us() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Setting {
  std::string name;
  std::function<void(SamplingParams&)> set;
  size_t n_history = 64;
  bool hot = false;
};

std::vector<Setting> settings() {
  std::vector<Setting> out = {
      {"greedy", [](SamplingParams& p) { p.temperature = 0; }},
      {"temperature", [](SamplingParams&) {}},
      {"penalties", [](SamplingParams& p) { p.repetition_penalty = 1.1F; }},
      {"top_n_sigma 1", [](SamplingParams& p) { p.top_n_sigma = 1; }},
      {"top_k 40", [](SamplingParams& p) { p.top_k = 40; }},
      {"typ_p 0.9", [](SamplingParams& p) { p.typical_p = 0.9F; }},
      {"top_p 0.95", [](SamplingParams& p) { p.top_p = 0.95F; }},
      {"min_p 0.05", [](SamplingParams& p) { p.min_p = 0.05F; }},
      {"xtc 1, 0.1", [](SamplingParams& p) { p.xtc_probability = 1; }},
      {"dynatemp 0.5", [](SamplingParams& p) { p.dynatemp_range = 0.5F; }},
      {"mirostat 1", [](SamplingParams& p) { p.mirostat = 1; }},
      {"mirostat 2", [](SamplingParams& p) { p.mirostat = 2; }},
      {"top_k, top_p, min_p",
       [](SamplingParams& p) {
         p.top_k = 40;
         p.top_p = 0.95F;
         p.min_p = 0.05F;
       }},
  };
  const auto dry = [](SamplingParams& p) {
    p.temperature = 0;
    p.dry_multiplier = 0.8F;
  };
  for (const size_t n : {1000, 8000, 32000, 128000}) {
    out.push_back({"greedy, dry over " + std::to_string(n), dry, n});
    out.push_back({"the same, hot", dry, n, true});
  }
  return out;
}

double median_draw_us(const Setting& setting, size_t n_vocab, int rounds) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 2.5F);
  std::vector<float> logits(n_vocab);
  for (float& x : logits) x = normal(random);
  std::vector<TokenId> history(setting.n_history);
  for (TokenId& token : history) {
    token = setting.hot ? 7 : static_cast<TokenId>(random() % 2000);
  }
  SamplingParams params;
  setting.set(params);
  SampleMemory memory(params);
  for (size_t i = 0; i < history.size() && memory.wants_text(); ++i) memory.note("word");
  Sampler sampler(static_cast<int64_t>(n_vocab));
  std::vector<double> times;
  std::vector<float> row;
  for (int round = 0; round < rounds; ++round) {
    row = logits;
    SampleInput input{row, history, static_cast<uint64_t>(round), std::nullopt};
    input.memory = &memory;
    const double begin = now_us();
    const auto drawn = sampler.sample(input, params);
    times.push_back(now_us() - begin);
    if (!drawn.ok()) std::abort();
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[static_cast<size_t>(rounds / 2)];
}

}  // namespace
}  // namespace quern::engine

int main(int argc, char** argv) {
  int rounds = 50;
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), rounds);
  rounds = std::max(rounds, 1);
  std::printf("%-28s %12s %12s   us per draw, median of %d\n", "", "32000", "150000", rounds);
  for (const auto& setting : quern::engine::settings()) {
    std::printf("%-28s %12.1f %12.1f\n", setting.name.c_str(),
                quern::engine::median_draw_us(setting, 32000, rounds),
                quern::engine::median_draw_us(setting, 150000, rounds));
    std::fflush(stdout);
  }
  return 0;
}
