// Steps of one sequence, and the cache of masks.
#include "engine/grammar/matcher.h"

#include <algorithm>
#include <utility>

#include "engine/grammar/mask_worker.h"

namespace quern::grammar {

Matcher::Matcher(std::shared_ptr<const Constraint> constraint, bool drops_first_space)
    : constraint_(std::move(constraint)),
      tables_(constraint_->tables()),
      drop_space_(drops_first_space) {
  const std::lock_guard lock(tables_->mutex);
  state_ = tables_->states.start();
  note_state();
}

Matcher Matcher::fork() const {
  Matcher copy(constraint_, drop_space_);
  copy.tables_ = tables_;
  copy.state_ = state_;
  copy.accepting_ = accepting_;
  copy.complete_ = complete_;
  return copy;
}

void Matcher::note_state() {
  accepting_ = tables_->states.accepting(state_);
  complete_ = tables_->states.complete(state_);
}

// The caller holds the lock of `tables`.
Matcher::MaskPointer Matcher::find_or_make(MatchTables& tables, const Constraint& constraint,
                                           StateId state, bool drop_space) {
  if (drop_space) {
    return std::make_shared<const TokenMask>(tables.walker.mask(state, true));
  }
  const auto it = tables.masks.find(state);
  if (it != tables.masks.end()) return it->second;
  auto made = std::make_shared<const TokenMask>(tables.walker.mask(state, false));
  const size_t bytes = made->bits.size() * sizeof(uint64_t) + 64;
  if (tables.mask_bytes + bytes > constraint.automaton().limits.max_table_bytes / 2) {
    tables.masks.clear();
    tables.mask_bytes = 0;
  }
  tables.masks.emplace(state, made);
  tables.mask_bytes += bytes;
  return made;
}

Result<std::shared_ptr<const TokenMask>> Matcher::mask() {
  MaskPointer found;
  if (pending_.valid()) {
    found = pending_.get();
  } else {
    const std::lock_guard lock(tables_->mutex);
    found = find_or_make(*tables_, *constraint_, state_, drop_space_);
  }
  if (found->any) return found;
  if (found->over_budget) {
    return Error(ErrorKind::kInvalidInput,
                 "the grammar can be read in too many ways at this point of the answer to decide "
                 "which tokens it permits; make it less ambiguous");
  }
  return Error(ErrorKind::kInvalidInput,
               "the grammar permits no token of this model at this point of the answer: it nests "
               "deeper than " +
                   std::to_string(constraint_->automaton().limits.max_stack) +
                   " levels here, or needs text that the vocabulary cannot write");
}

void Matcher::prefetch(MaskWorker& worker) {
  if (complete_) return;
  {
    // Whoever computes a mask holds the lock; waiting for him here would be no gain.
    const std::unique_lock lock(tables_->mutex, std::try_to_lock);
    if (lock.owns_lock() && tables_->masks.contains(state_)) return;
  }
  pending_ = worker.submit(
      [tables = tables_, constraint = constraint_, state = state_, drop = drop_space_] {
        const std::lock_guard lock(tables->mutex);
        return find_or_make(*tables, *constraint, state, drop);
      });
}

Status Matcher::accept(TokenId token) {
  if (pending_.valid()) pending_.wait();
  pending_ = {};
  const TokenTrie& trie = constraint_->trie();
  const auto& ends = trie.end_tokens();
  if (std::find(ends.begin(), ends.end(), token) != ends.end()) return ok_status();
  std::string_view bytes = trie.bytes_of(token);
  if (drop_space_ && bytes.starts_with(' ')) bytes.remove_prefix(1);
  drop_space_ = false;
  std::shared_ptr<MatchTables> next = tables_;
  {
    const std::lock_guard lock(tables_->mutex);
    const StateId state = bytes.empty() ? kDead : tables_->states.run_bytes(state_, bytes);
    if (state == kDead) {
      return Error(ErrorKind::kInternal, "token " + std::to_string(token) +
                                             " was drawn though the grammar does not permit it");
    }
    state_ = state;
    note_state();
    const size_t limit = constraint_->automaton().limits.max_table_bytes / 2;
    if (tables_->states.bytes() > limit) next = constraint_->tables_after(tables_);
  }
  if (next != tables_) {
    const std::scoped_lock both(tables_->mutex, next->mutex);
    state_ = next->states.import(tables_->states, state_);
    tables_.swap(next);
  }
  return ok_status();
}

}  // namespace quern::grammar
