// A compiled grammar bound to a vocabulary, shared by all sequences that obey it.
//
// Immutable to its users; inside, states and masks are made on first use behind a lock and bounded
// in bytes. What a mask holds depends on the text so far alone, never on who asked before.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "config/base/result.h"
#include "engine/grammar/automaton.h"
#include "engine/grammar/state_table.h"
#include "engine/grammar/token_mask.h"
#include "engine/grammar/token_trie.h"

namespace quern::grammar {

// One generation of lazily made tables. Its user holds `mutex`.
struct MatchTables {
  MatchTables(const Automaton& automaton, const TokenTrie& trie)
      : states(automaton), walker(automaton, states, trie) {}

  std::mutex mutex;
  StateTable states;
  MaskWalker walker;
  std::unordered_map<StateId, std::shared_ptr<const TokenMask>> masks;
  size_t mask_bytes = 0;
};

class Constraint {
 public:
  // Error (kInvalidInput) when the grammar exceeds the limits of matching before any text.
  static Result<std::shared_ptr<const Constraint>> create(Automaton automaton,
                                                          std::shared_ptr<const TokenTrie> trie);
  Constraint(const Constraint&) = delete;
  Constraint& operator=(const Constraint&) = delete;

  const Automaton& automaton() const { return automaton_; }
  const TokenTrie& trie() const { return *trie_; }
  // Whether all of `text` is in the language.
  bool matches(std::string_view text) const;
  // Memory held now, without the vocabulary.
  size_t bytes() const;

 private:
  friend class Matcher;
  Constraint(Automaton automaton, std::shared_ptr<const TokenTrie> trie)
      : automaton_(std::move(automaton)), trie_(std::move(trie)) {}
  std::shared_ptr<MatchTables> tables() const;
  // The generation after `full`, which its sequences leave behind.
  std::shared_ptr<MatchTables> tables_after(const std::shared_ptr<MatchTables>& full) const;

  const Automaton automaton_;
  const std::shared_ptr<const TokenTrie> trie_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<MatchTables> tables_;
};

}  // namespace quern::grammar
