// libFuzzer target: any JSON given to the schema front end is refused with a sentence or compiled,
// and then every whole text it permits is JSON.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "tests/engine/grammar/grammar_fixture.h"

namespace {

using namespace quern::grammar;

Limits small_limits() {
  Limits limits;
  limits.max_expressions = 20'000;
  limits.max_states = 20'000;
  limits.max_active = 256;
  limits.max_stack = 48;
  limits.max_mask_work = 200'000;
  return limits;
}

void walk(const ConstraintPointer& constraint, uint64_t random) {
  Matcher matcher(constraint, false);
  std::string text;
  for (int step = 0; step < 60; ++step) {
    if (matcher.accepting() && !quern::Json::accept(text)) std::abort();
    if (matcher.complete()) return;
    const auto mask = matcher.mask();
    if (!mask.ok()) return;
    std::vector<TokenId> permitted;
    for (TokenId id = 1; id < constraint->trie().n_vocab(); ++id) {
      if ((*mask)->permits(id)) permitted.push_back(id);
    }
    if (permitted.empty()) return;
    random = random * 6364136223846793005U + 1442695040888963407U;
    const TokenId token = permitted[(random >> 33) % permitted.size()];
    if (!matcher.accept(token).ok()) std::abort();
    text += constraint->trie().bytes_of(token);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto constraint = from_schema_text(text, small_limits());
  if (!constraint.ok()) {
    if (constraint.error().message().empty()) std::abort();
    return 0;
  }
  walk(*constraint, size);
  return 0;
}
