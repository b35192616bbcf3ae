// Generations of tables.
#include "engine/grammar/constraint.h"

#include <utility>

namespace quern::grammar {

Result<std::shared_ptr<const Constraint>> Constraint::create(
    Automaton automaton, std::shared_ptr<const TokenTrie> trie) {
  std::shared_ptr<Constraint> out(new Constraint(std::move(automaton), std::move(trie)));
  out->tables_ = std::make_shared<MatchTables>(out->automaton_, *out->trie_);
  if (out->tables_->states.start() == kDead) {
    return Error(ErrorKind::kInvalidInput,
                 "the grammar can begin in too many ways, or its rules nest too deeply before the "
                 "first character (limits: " +
                     std::to_string(out->automaton_.limits.max_active) + " readings, " +
                     std::to_string(out->automaton_.limits.max_stack) +
                     " levels); make it simpler");
  }
  return std::shared_ptr<const Constraint>(std::move(out));
}

bool Constraint::matches(std::string_view text) const {
  const std::shared_ptr<MatchTables> current = tables();
  const std::lock_guard lock(current->mutex);
  const StateId end = current->states.run_bytes(current->states.start(), text);
  return end != kDead && current->states.accepting(end);
}

size_t Constraint::bytes() const {
  const std::shared_ptr<MatchTables> current = tables();
  const std::lock_guard lock(current->mutex);
  return automaton_.bytes() + current->states.bytes() + current->mask_bytes;
}

std::shared_ptr<MatchTables> Constraint::tables() const {
  const std::lock_guard lock(mutex_);
  return tables_;
}

std::shared_ptr<MatchTables> Constraint::tables_after(
    const std::shared_ptr<MatchTables>& full) const {
  const std::lock_guard lock(mutex_);
  if (tables_ == full) tables_ = std::make_shared<MatchTables>(automaton_, *trie_);
  return tables_;
}

}  // namespace quern::grammar
