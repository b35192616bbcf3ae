// How often guesses came true: per kind of guess, a moving average over the tokens that were
// checked, for one sequence or for all.
#pragma once

#include <array>
#include <cstdint>

#include "engine/speculate/lookup_index.h"
#include "engine/types/stream.h"

namespace quern::engine {

// Where a draft comes from: kind i < kMaxMatch is a match of i + 1 tokens in the sequence itself,
// the last kind is the draft model.
inline constexpr int kDraftKinds = LookupIndex::kMaxMatch + 1;
inline constexpr int kModelKind = LookupIndex::kMaxMatch;
static_assert(kGuessSources.size() == kDraftKinds);

class Acceptance {
 public:
  // `weight` of the newest token.
  explicit Acceptance(double weight) : weight_(weight) { rates_.fill(kUnknownRate); }
  // A new sequence begins with what was seen in others.
  Acceptance(double weight, const Acceptance& others)
      : weight_(weight), rates_(others.rates_), known_(others.known_) {}

  // Probability that a token comes true if all before it did; a guess of its own before any was
  // checked.
  double rate(int kind) const { return rates_[static_cast<size_t>(kind)]; }
  // Whether any was checked, here or in the others it began with.
  bool known(int kind) const { return known_[static_cast<size_t>(kind)]; }
  // The first `n_accepted` tokens of a draft came true; the one after did not, or nobody knows.
  void note(int kind, int32_t n_accepted, bool rejected);

 private:
  static constexpr double kUnknownRate = 0.5;

  double weight_;
  std::array<double, kDraftKinds> rates_{};
  std::array<bool, kDraftKinds> known_{};
};

}  // namespace quern::engine
