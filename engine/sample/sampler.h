// From logits to a token: runs the stages of stages.h, then draws.
//
// Holds scratch only, no state of any sequence: a draw is a function of (logits, parameters,
// history, position) and of the sequence's own SampleMemory, so neighbours in a batch and
// scheduling cannot change it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "config/base/result.h"
#include "engine/sample/memory.h"
#include "engine/sample/stages.h"
#include "engine/types/request.h"

namespace quern::engine {

// Error text of a sequence whose logits hold NaN or infinity (a broken or hostile model file).
inline constexpr std::string_view kNonFiniteMessage =
    "model produced non-finite values; the model file may be damaged, or its format overflows on "
    "this prompt";

// Ranges of every parameter, and ids of logit_bias against the vocabulary. Errors (kInvalidInput)
// name the parameter, its value and the range.
Status validate_sampling(const SamplingParams& params, int64_t n_vocab);

struct Sample {
  TokenId token = 0;
  std::optional<TokenLogprob> logprob;  // when asked for
};

struct SampleInput {
  std::span<float> logits;           // [n_vocab]; overwritten
  std::span<const TokenId> history;  // ids inside the vocabulary
  uint64_t position = 0;             // of the token to be drawn in its sequence
  std::optional<int32_t> top_logprobs;
  // Bit i % 64 of word i / 64: token i may be drawn; tokens beyond may not. Empty: all may.
  std::span<const uint64_t> permitted = {};
  // Of this sequence, with all of `history` noted; the draw moves mirostat's bound. Null: DRY knows
  // no breakers, and mirostat begins anew.
  SampleMemory* memory = nullptr;
};

class Sampler {
 public:
  explicit Sampler(int64_t n_vocab);

  // Tokens that are not permitted are banned before any stage. Temperature 0: the best token after
  // bias, penalties and DRY, ties to the lowest id; the other stages do nothing then. Errors:
  // non-finite logits (kInternal), no token left to choose (kInvalidInput). Precondition: `params`
  // passed validate_sampling().
  Result<Sample> sample(const SampleInput& input, const SamplingParams& params);

 private:
  void ban_others(std::span<const uint64_t> permitted);
  Result<TokenId> choose(const SamplingParams& params, SampleMemory* memory);

  ChainState state_;
};

}  // namespace quern::engine
