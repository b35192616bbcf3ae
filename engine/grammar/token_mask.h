// Which tokens may follow a state: a walk of the vocabulary's trie beside the automaton.
//
// A token is permitted when all of its bytes lead to a state that is not dead. Where every
// character of a class keeps a run going (the inside of a string), the run's table answers for the
// tokens inside it and only the ways out are walked. Same result with and without that.
// Sources of the idea: Willard and Louf 2023 (Outlines), Dong et al. 2024 (XGrammar), the slices of
// llguidance.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/grammar/state_table.h"
#include "engine/grammar/token_trie.h"

namespace quern::grammar {

struct TokenMask {
  std::vector<uint64_t> bits;  // per token id
  bool any = false;
  bool over_budget = false;  // then no bit is set

  bool permits(TokenId id) const {
    return (bits[static_cast<size_t>(id) / 64] >> (static_cast<size_t>(id) % 64) & 1) != 0;
  }
};

class MaskWalker {
 public:
  // Both must outlive it. `use_runs` off: every node is walked (for tests).
  MaskWalker(const Automaton& automaton, StateTable& table, const TokenTrie& trie,
             bool use_runs = true);

  // `drop_space`: the token begins a text whose first space is dropped, so tokens that begin with a
  // space are judged by the rest.
  TokenMask mask(StateId state, bool drop_space);

 private:
  struct Task {
    uint32_t node;
    StateId before;  // state at the node's parent
  };

  void begin(StateId state, bool drop_space);
  void walk(Task task);
  bool try_run(uint32_t node, StateId state);
  bool follow_run(const RunTable& table, ClassId class_id, StateId state, uint32_t chars_before);
  void permit_run(const RunTable& table, uint32_t node, uint32_t chars_before);
  void queue_exits(const RunTable& table, uint32_t node, uint32_t chars_before);
  void queue_exit(const RunTable::Exit& exit, uint32_t chars_before);
  bool dead_on_class(StateId state, ClassId class_id);
  uint32_t chars_of_path(uint32_t node) const;
  void permit(TokenId id) {
    out_.bits[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<size_t>(id) % 64);
  }
  void permit_at(uint32_t node) {
    for (uint32_t i = trie_.first_token(node); i < trie_.first_token(node + 1); ++i) {
      permit(trie_.token(i));
    }
  }

  const Automaton& automaton_;
  StateTable& table_;
  const TokenTrie& trie_;
  std::vector<std::shared_ptr<const RunTable>> runs_;  // per class; null: none
  TokenMask out_;
  std::vector<Task> tasks_;
  std::vector<StateId> states_;  // per depth of the path
  std::vector<StateId> chain_;   // states after 0, 1, ... characters of a run
  bool endless_ = false;         // the chain's last state repeats
  uint64_t work_ = 0;
};

}  // namespace quern::grammar
