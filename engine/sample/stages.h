// The sampler's stages in the order in which they run: the single list.
//
// A stage either rewrites logits in place (kLogits) or works on candidates (kCandidates). What it
// does depends on the logits, the parameters, the sequence's own tokens and (XTC) on numbers keyed
// by seed and position only. Names and order are llama.cpp's, so that users' settings mean the same
// here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/types/request.h"

namespace quern::engine {

class DryBreakers;  // engine/sample/dry.h

struct Candidate {
  TokenId id;
  float logit;
};

// What the stages of one draw work on. Owned by the Sampler and reused, so that a draw allocates
// nothing once warm.
struct ChainState {
  std::span<float> logits;                // [n_vocab]; the kLogits stages write here
  std::span<const TokenId> history;       // prompt and generated tokens of the sequence
  uint64_t position = 0;                  // of the token to be drawn
  const DryBreakers* breakers = nullptr;  // in `history`; null: none
  std::vector<Candidate> candidates;      // never empty between kCandidates stages
  std::vector<double> weights;            // scratch: one per candidate
  std::vector<int32_t> counts;            // scratch: [n_vocab], all zero between stages
  std::vector<int32_t> lengths;           // scratch: one per token of DRY's window
};

enum class StageKind : uint8_t { kLogits, kCandidates };

struct Stage {
  std::string_view name;
  char letter;  // in a list of stages in short; 0: always runs, and first
  StageKind kind;
  bool drops;  // takes candidates away; mirostat does so in its place
  bool (*active)(const SamplingParams& params);
  void (*apply)(ChainState& state, const SamplingParams& params);
};

std::span<const Stage> sampler_stages();

// SamplingParams::stages from names, or from letters. Errors (kInvalidInput): a name that is not
// there, or twice; a stage that rewrites logits behind one that works on candidates.
Result<std::vector<uint8_t>> stages_of_names(std::span<const std::string> names);
Result<std::vector<uint8_t>> stages_of_letters(std::string_view letters);
// The same rules for indexes.
Status validate_stages(std::span<const uint8_t> stages);

}  // namespace quern::engine
