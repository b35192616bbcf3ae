// libFuzzer target: any text given to the GBNF front end is refused with a sentence or compiled,
// and then its masks never permit a token that its automaton does not follow.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "tests/engine/grammar/grammar_fixture.h"

namespace {

using namespace quern::grammar;

Limits small_limits() {
  Limits limits;
  limits.max_expressions = 20'000;
  limits.max_states = 20'000;
  limits.max_active = 256;
  limits.max_stack = 64;
  limits.max_mask_work = 200'000;
  return limits;
}

// Follows pseudo-random permitted tokens; both kinds of walkers must agree with the automaton.
void walk(const Constraint& constraint, uint64_t random) {
  StateTable table(constraint.automaton());
  MaskWalker with_runs(constraint.automaton(), table, constraint.trie());
  MaskWalker plain(constraint.automaton(), table, constraint.trie(), false);
  StateId state = table.start();
  for (int step = 0; step < 12; ++step) {
    const TokenMask mask = with_runs.mask(state, false);
    const TokenMask other = plain.mask(state, false);
    if (mask.over_budget || other.over_budget || !mask.any) return;
    if (mask.bits != other.bits) std::abort();
    std::vector<TokenId> permitted;
    for (TokenId id = 1; id < constraint.trie().n_vocab(); ++id) {
      const bool follows = table.run_bytes(state, constraint.trie().bytes_of(id)) != kDead;
      if (follows != mask.permits(id)) std::abort();
      if (follows) permitted.push_back(id);
    }
    if (permitted.empty()) return;
    random = random * 6364136223846793005U + 1442695040888963407U;
    state = table.run_bytes(
        state, constraint.trie().bytes_of(permitted[(random >> 33) % permitted.size()]));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto constraint = from_gbnf(text, small_limits());
  if (!constraint.ok()) {
    if (constraint.error().message().empty()) std::abort();
    return 0;
  }
  walk(**constraint, size);
  return 0;
}
