// The sampler's stages in the order in which they run: the single list.
//
// A stage either rewrites logits in place (kLogits) or drops candidates (kCandidates); it never
// draws. What a stage does depends on the logits, the parameters and the sequence's own tokens
// only. Order: as llama.cpp and Ollama document theirs, so that users' settings mean the same here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/types/request.h"

namespace quern::engine {

struct Candidate {
  TokenId id;
  float logit;
};

// What the stages of one draw work on. Owned by the Sampler and reused, so that a draw allocates
// nothing once warm.
struct ChainState {
  std::span<float> logits;            // [n_vocab]; the kLogits stages write here
  std::span<const TokenId> history;   // prompt and generated tokens of the sequence
  std::vector<Candidate> candidates;  // never empty between kCandidates stages
  std::vector<double> weights;        // scratch: one per candidate
  std::vector<int32_t> counts;        // scratch: [n_vocab], all zero between stages
};

enum class StageKind : uint8_t { kLogits, kCandidates };

struct Stage {
  std::string_view name;
  StageKind kind;
  bool (*active)(const SamplingParams& params);
  void (*apply)(ChainState& state, const SamplingParams& params);
};

std::span<const Stage> sampler_stages();

}  // namespace quern::engine
