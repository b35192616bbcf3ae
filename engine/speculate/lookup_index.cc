// One table for runs of all lengths, one slot per run and no probing.
#include "engine/speculate/lookup_index.h"

#include <algorithm>
#include <array>
#include <bit>

#include "config/base/check.h"

namespace quern::engine {
namespace {

constexpr size_t kLeastSlots = 256;
constexpr size_t kSlotsPerRun = 2;  // so that few runs displace each other

// Hashes of the runs of 1, 2, ... tokens that end before `end`.
struct RunHashes {
  std::array<uint64_t, LookupIndex::kMaxMatch> of{};
  int count = 0;
};

RunHashes run_hashes(std::span<const TokenId> tokens, size_t end) {
  RunHashes out;
  uint64_t state = 0;
  while (out.count < LookupIndex::kMaxMatch && static_cast<size_t>(out.count) < end) {
    const auto token = static_cast<uint64_t>(tokens[end - 1 - static_cast<size_t>(out.count)]);
    // The finisher of SplitMix64 (Steele, Lea, Flood 2014).
    state += token + 0x9E3779B97F4A7C15ULL;
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9ULL;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EBULL;
    state ^= state >> 31;
    out.of[static_cast<size_t>(out.count++)] = state;
  }
  return out;
}

}  // namespace

void LookupIndex::extend(std::span<const TokenId> tokens) {
  CHECK(tokens.size() < UINT32_MAX);
  const size_t wanted =
      std::clamp(std::bit_ceil(tokens.size() * kMaxMatch * kSlotsPerRun), kLeastSlots, kMaxSlots);
  if (slots_.size() < wanted) {
    slots_.assign(wanted, 0);
    n_learnt_ = 1;
  }
  for (; n_learnt_ < tokens.size(); ++n_learnt_) learn(tokens, n_learnt_);
}

void LookupIndex::learn(std::span<const TokenId> tokens, size_t next) {
  const RunHashes hashes = run_hashes(tokens, next);
  for (int i = 0; i < hashes.count; ++i) {
    slots_[hashes.of[static_cast<size_t>(i)] & (slots_.size() - 1)] = static_cast<uint32_t>(next);
  }
}

LookupIndex::Match LookupIndex::find(std::span<const TokenId> tokens) const {
  if (slots_.empty()) return {};
  const RunHashes hashes = run_hashes(tokens, tokens.size());
  for (int length = hashes.count; length > 0; --length) {
    const size_t next = slots_[hashes.of[static_cast<size_t>(length - 1)] & (slots_.size() - 1)];
    const auto n = static_cast<size_t>(length);
    if (next < n) continue;  // none, or it belongs to a shorter run
    const auto run = tokens.last(n);
    if (std::equal(run.begin(), run.end(), tokens.subspan(next - n, n).begin())) {
      return {length, next};
    }
  }
  return {};
}

std::vector<TokenId> LookupIndex::continuation(std::span<const TokenId> tokens, const Match& match,
                                               size_t n) {
  CHECK(match.length > 0 && match.next < tokens.size());
  std::vector<TokenId> out;
  out.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const size_t at = match.next + i;
    out.push_back(at < tokens.size() ? tokens[at] : out[at - tokens.size()]);
  }
  return out;
}

}  // namespace quern::engine
