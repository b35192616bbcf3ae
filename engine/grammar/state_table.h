// Runs an automaton: sets of configurations as numbered states, made on first use and remembered.
//
// A configuration is a node and a stack; a state is the set of all that one text can have led to,
// so ambiguity costs width and never backtracking. Stacks are shared from the bottom up, equal ones
// are one. Bounded: a byte whose set would exceed Limits::max_active, or a stack deeper than
// max_stack, is not permitted, whatever is remembered, so results do not depend on what ran before.
// One thread at a time.
// Source of the idea: lazy subset construction (Thompson 1968), with stacks as in Lang 1974.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/grammar/automaton.h"

namespace quern::grammar {

using StateId = uint32_t;
using StackId = uint32_t;
inline constexpr StateId kDead = 0xFFFFFFFE;
inline constexpr StackId kBottom = 0;

struct Config {
  NodeId node;
  StackId stack;
  auto operator<=>(const Config&) const = default;
};

// A run: every character of a class leads from one state to exactly one other.
struct Run {
  ClassId class_id = kNone;  // kNone: no run begins here
  StateId next = kDead;
};

class StateTable {
 public:
  // `automaton` must outlive the table.
  explicit StateTable(const Automaton& automaton);

  // The state before any text; kDead when it exceeds the limits.
  StateId start();
  // After one more byte; kDead when no reading of the text goes on so.
  StateId step(StateId state, uint8_t byte) {
    const StateId known = next_[state * width_ + automaton_->byte_class[byte]];
    return known != kUnknown ? known : compute_step(state, byte);
  }
  StateId run_bytes(StateId state, std::string_view bytes);

  // Whether the text may end here.
  bool accepting(StateId state) const { return states_[state].accepting; }
  // Whether it must: nothing can follow.
  bool complete(StateId state) const {
    return states_[state].count == 0 && states_[state].accepting;
  }
  // Parallel readings.
  uint32_t width(StateId state) const { return states_[state].count; }
  Run run_of(StateId state);

  // Copies a state of another table of the same automaton.
  StateId import(const StateTable& from, StateId state);
  // Whether some byte was refused because a limit was reached.
  bool hit_limit() const { return hit_limit_; }
  size_t bytes() const;

 private:
  static constexpr StateId kUnknown = 0xFFFFFFFF;

  struct State {
    uint32_t first;  // in configs_
    uint32_t count;
    bool accepting;
    bool run_known = false;
    Run run = {};
  };
  struct StackNode {
    StackId parent;
    NodeId node;     // to return to; for counted loops their kLoopBack
    uint32_t count;  // iterations begun
    uint32_t depth;
    bool operator==(const StackNode&) const = default;
  };
  // `low`: smallest depth of the stack since the last byte. A counted loop whose frame lies higher
  // has made an iteration without text.
  struct Item {
    NodeId node;
    StackId stack;
    uint32_t low;
  };
  struct Visit {
    NodeId node = 0;
    StackId stack = 0;
    uint32_t low = 0;
    uint32_t epoch = 0;
  };

  StateId compute_step(StateId state, uint8_t byte);
  // The state made of everything reachable from items_ without a byte.
  StateId close();
  bool first_visit(const Item& item, bool& is_new);
  void grow_visits();
  void expand(const Item& item);
  void iterate(const Item& item);
  void visit_node(const Item& item, bool is_new);
  void push(NodeId node, StackId stack, uint32_t low) { items_.push_back({node, stack, low}); }
  // kNone when it would be too deep.
  StackId push_frame(StackId parent, NodeId node, uint32_t count);
  StateId intern_state(bool accepting);
  Run find_run(StateId state);
  bool stands_alone(StateId state, uint32_t place) const;

  const Automaton* automaton_;
  uint32_t width_;
  std::vector<State> states_;
  std::vector<Config> configs_;
  std::vector<StateId> next_;  // [state, byte class]
  std::vector<StackNode> stacks_;
  std::vector<uint32_t> state_index_;  // open addressing, id + 1
  std::vector<uint32_t> stack_index_;
  StateId start_ = kUnknown;
  bool hit_limit_ = false;

  // Scratch of close().
  std::vector<Item> items_;
  std::vector<Config> found_;
  std::vector<Visit> visits_;
  uint32_t n_visited_ = 0;
  uint32_t epoch_ = 0;
  bool accepting_ = false;
  bool over_ = false;
};

}  // namespace quern::grammar
