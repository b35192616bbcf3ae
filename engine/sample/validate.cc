// Ranges of the sampling parameters: one line each.
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "engine/sample/sampler.h"

namespace quern::engine {
namespace {

struct FloatRange {
  std::string_view name;
  float SamplingParams::*field;
  float low;
  float high;
};

constexpr FloatRange kRanges[] = {
    {"temperature", &SamplingParams::temperature, 0.0F, 100.0F},
    {"top_p", &SamplingParams::top_p, 0.0F, 1.0F},
    {"min_p", &SamplingParams::min_p, 0.0F, 1.0F},
    {"typical_p", &SamplingParams::typical_p, 0.0F, 1.0F},
    {"repetition_penalty", &SamplingParams::repetition_penalty, 0.01F, 100.0F},
    {"presence_penalty", &SamplingParams::presence_penalty, -100.0F, 100.0F},
    {"frequency_penalty", &SamplingParams::frequency_penalty, -100.0F, 100.0F},
    {"top_n_sigma", &SamplingParams::top_n_sigma, -100.0F, 100.0F},
    {"dry_multiplier", &SamplingParams::dry_multiplier, 0.0F, 100.0F},
    {"dry_base", &SamplingParams::dry_base, 1.0F, 100.0F},
    {"xtc_probability", &SamplingParams::xtc_probability, 0.0F, 1.0F},
    {"xtc_threshold", &SamplingParams::xtc_threshold, 0.0F, 1.0F},
    {"dynatemp_range", &SamplingParams::dynatemp_range, 0.0F, 100.0F},
    {"dynatemp_exponent", &SamplingParams::dynatemp_exponent, 0.0F, 100.0F},
    {"mirostat_tau", &SamplingParams::mirostat_tau, 0.0F, 100.0F},
    {"mirostat_eta", &SamplingParams::mirostat_eta, 0.0F, 100.0F},
};

struct WholeRange {
  std::string_view name;
  int32_t SamplingParams::*field;
  int32_t low;
  std::string_view low_means;
  int32_t high;
};

constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr WholeRange kWholeRanges[] = {
    {"top_k", &SamplingParams::top_k, 0, " (off)", kMaxInt},
    {"penalty_window", &SamplingParams::penalty_window, -1, " (all tokens)", kMaxInt},
    {"dry_allowed_length", &SamplingParams::dry_allowed_length, 0, "", kMaxInt},
    {"dry_penalty_last_n", &SamplingParams::dry_window, -1, " (all tokens)", kMaxInt},
    {"mirostat", &SamplingParams::mirostat, 0, " (off)", 2},
};
constexpr float kMaxBias = 1000.0F;

std::string number(float value) {
  std::string text = std::to_string(value);
  while (text.find('.') != std::string::npos && (text.back() == '0' || text.back() == '.')) {
    const bool point = text.back() == '.';
    text.pop_back();
    if (point) break;
  }
  return text;
}

Error out_of_range(std::string_view name, const std::string& value, const std::string& low,
                   const std::string& high) {
  return Error(ErrorKind::kInvalidInput,
               std::string(name) + " is " + value + "; it must be from " + low + " to " + high);
}

}  // namespace

Status validate_sampling(const SamplingParams& params, int64_t n_vocab) {
  for (const FloatRange& range : kRanges) {
    const float value = params.*range.field;
    if (!(value >= range.low && value <= range.high)) {
      return out_of_range(range.name, number(value), number(range.low), number(range.high));
    }
  }
  for (const WholeRange& range : kWholeRanges) {
    const int32_t value = params.*range.field;
    if (value < range.low || value > range.high) {
      return out_of_range(range.name, std::to_string(value),
                          std::to_string(range.low).append(range.low_means),
                          std::to_string(range.high));
    }
  }
  QUERN_RETURN_IF_ERROR(validate_dry_breakers(params.dry_breakers));
  QUERN_RETURN_IF_ERROR(validate_stages(params.stages));
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || id >= n_vocab) {
      return out_of_range("token id in logit_bias", std::to_string(id), "0",
                          std::to_string(n_vocab - 1));
    }
    const bool ban = std::isinf(bias) && bias < 0;
    if (!ban && !(bias >= -kMaxBias && bias <= kMaxBias)) {
      return out_of_range("logit_bias of token " + std::to_string(id), number(bias),
                          number(-kMaxBias), number(kMaxBias) + ", or -infinity to ban it");
    }
  }
  return ok_status();
}

}  // namespace quern::engine
