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
  constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
  if (params.top_k < 0) {
    return out_of_range("top_k", std::to_string(params.top_k), "0 (off)", std::to_string(kMaxInt));
  }
  if (params.penalty_window < -1) {
    return out_of_range("penalty_window", std::to_string(params.penalty_window), "-1 (all tokens)",
                        std::to_string(kMaxInt));
  }
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
