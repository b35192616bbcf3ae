// The walk. Tasks stand on an explicit stack; work is counted by what is looked at, not by what
// had to be computed, so that a full table and an empty one refuse the same states.
#include "engine/grammar/token_mask.h"

#include <algorithm>

namespace quern::grammar {
namespace {

// Subtrees below this size are walked without asking for a run.
constexpr uint32_t kMinSubtree = 24;
// A grammar gets tables for this many of its large classes, the first ones.
constexpr size_t kMaxTables = 12;

}  // namespace

MaskWalker::MaskWalker(const Automaton& automaton, StateTable& table, const TokenTrie& trie,
                       bool use_runs)
    : automaton_(automaton), table_(table), trie_(trie) {
  runs_.resize(automaton.classes.size());
  size_t n_tables = 0;
  for (size_t i = 0; use_runs && i < runs_.size() && n_tables < kMaxTables; ++i) {
    runs_[i] = trie.run_table(automaton.classes[i]);
    n_tables += runs_[i] != nullptr ? 1 : 0;
  }
  states_.assign(trie.max_depth() + 1, kDead);
}

TokenMask MaskWalker::mask(StateId state, bool drop_space) {
  out_ = TokenMask();
  out_.bits.assign((static_cast<size_t>(trie_.n_vocab()) + 63) / 64, 0);
  work_ = 0;
  tasks_.clear();
  begin(state, drop_space);
  while (!tasks_.empty() && work_ <= automaton_.limits.max_mask_work) {
    const Task task = tasks_.back();
    tasks_.pop_back();
    walk(task);
  }
  if (work_ > automaton_.limits.max_mask_work) {
    std::fill(out_.bits.begin(), out_.bits.end(), 0);
    out_.over_budget = true;
    return std::move(out_);
  }
  if (table_.accepting(state)) {
    for (const TokenId id : trie_.end_tokens()) permit(id);
  }
  out_.any = std::any_of(out_.bits.begin(), out_.bits.end(), [](uint64_t w) { return w != 0; });
  return std::move(out_);
}

// Queues what hangs on the root.
void MaskWalker::begin(StateId state, bool drop_space) {
  const uint32_t space = drop_space ? trie_.root_child(' ') : 0;
  if (space == 0 && try_run(0, state)) return;
  for (uint32_t node = 1; node < trie_.n_nodes(); node += trie_.size(node)) {
    if (node != space) tasks_.push_back({node, state});
  }
  if (space == 0) return;
  // A space alone is left out: nothing would be seen of it.
  const uint32_t end = space + trie_.size(space);
  for (uint32_t node = space + 1; node < end; node += trie_.size(node)) {
    tasks_.push_back({node, state});
  }
}

void MaskWalker::walk(Task task) {
  const uint32_t end = task.node + trie_.size(task.node);
  states_[trie_.depth(task.node) - 1] = task.before;
  for (uint32_t node = task.node; node < end;) {
    const uint32_t depth = trie_.depth(node);
    const StateId before = states_[depth - 1];
    const StateId state = table_.step(before, trie_.byte(node));
    work_ += 1 + table_.width(before);
    if (state == kDead) {
      node += trie_.size(node);
      continue;
    }
    work_ += table_.width(state);
    if (work_ > automaton_.limits.max_mask_work) return;
    permit_at(node);
    states_[depth] = state;
    node += try_run(node, state) ? trie_.size(node) : 1;
  }
}

// Whole characters on the path to a node of a run.
uint32_t MaskWalker::chars_of_path(uint32_t node) const {
  uint32_t chars = 0;
  for (; node != 0; node = trie_.parent(node)) chars += (trie_.byte(node) & 0xC0U) != 0x80U;
  return chars;
}

// Answers for everything below `node` at once, if a run goes on there.
bool MaskWalker::try_run(uint32_t node, StateId state) {
  if (trie_.size(node) < kMinSubtree) return false;
  const Run run = table_.run_of(state);
  if (run.class_id == kNone || runs_[run.class_id] == nullptr) return false;
  const RunTable& table = *runs_[run.class_id];
  if (!table.on_path[node]) return false;
  const uint32_t chars_before = chars_of_path(node);
  if (!follow_run(table, run.class_id, state, chars_before)) return false;
  permit_run(table, node, chars_before);
  queue_exits(table, node, chars_before);
  return true;
}

// Fills chain_ as far as tokens reach. False when the run ends in a state that goes on with
// characters of the class in another way.
bool MaskWalker::follow_run(const RunTable& table, ClassId class_id, StateId state,
                            uint32_t chars_before) {
  chain_.assign(1, state);
  endless_ = false;
  // Ways out lie at most kMaxChars characters into a token.
  while (chain_.size() + chars_before <= RunTable::kMaxChars) {
    const Run run = table_.run_of(chain_.back());
    ++work_;
    if (run.class_id != class_id) return dead_on_class(chain_.back(), class_id);
    if (run.next == chain_.back()) {
      endless_ = true;
      return true;
    }
    chain_.push_back(run.next);
    if (chain_.size() + chars_before > uint32_t{table.max_chars} + 1) break;
  }
  return true;
}

bool MaskWalker::dead_on_class(StateId state, ClassId class_id) {
  for (const ByteSequence& sequence : utf8_sequences(automaton_.classes[class_id])) {
    for (uint32_t byte = sequence.front().low; byte <= sequence.front().high; ++byte) {
      if (table_.step(state, static_cast<uint8_t>(byte)) != kDead) return false;
    }
  }
  return true;
}

void MaskWalker::permit_run(const RunTable& table, uint32_t node, uint32_t chars_before) {
  const size_t reach = endless_ ? RunTable::kMaxChars : chain_.size() - 1 + chars_before;
  if (node != 0) {
    const uint32_t end = trie_.first_token(node + trie_.size(node));
    for (uint32_t i = trie_.first_token(node + 1); i < end; ++i) {
      if (table.chars[i] <= reach && table.chars[i] != RunTable::kOutside) permit(trie_.token(i));
    }
    return;
  }
  const size_t n_reached = table.up_to[std::min<size_t>(reach, 255)];
  if (n_reached < table.by_chars.size() / 2) {
    for (size_t i = 0; i < n_reached; ++i) permit(table.by_chars[i]);
    return;
  }
  for (size_t i = 0; i < out_.bits.size(); ++i) out_.bits[i] |= table.inside[i];
  for (size_t i = n_reached; i < table.by_chars.size(); ++i) {
    const auto id = static_cast<size_t>(table.by_chars[i]);
    out_.bits[id / 64] &= ~(uint64_t{1} << (id % 64));
  }
}

void MaskWalker::queue_exits(const RunTable& table, uint32_t node, uint32_t chars_before) {
  const uint32_t end = node + trie_.size(node);
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::vector<RunTable::Exit>& exits = table.exits[byte];
    if (exits.empty()) continue;
    // Most bytes lead nowhere from a state that every exit shares.
    if (endless_ && chain_.size() == 1 && byte < 0x80 &&
        table_.step(chain_[0], static_cast<uint8_t>(byte)) == kDead) {
      continue;
    }
    auto it = std::upper_bound(exits.begin(), exits.end(), node,
                               [](uint32_t n, const RunTable::Exit& e) { return n < e.node; });
    for (; it != exits.end() && it->node < end; ++it) queue_exit(*it, chars_before);
  }
}

void MaskWalker::queue_exit(const RunTable::Exit& exit, uint32_t chars_before) {
  ++work_;
  size_t chars = exit.chars - chars_before;
  if (chars >= chain_.size()) {
    if (!endless_) return;
    chars = chain_.size() - 1;
  }
  StateId state = chain_[chars];
  // At most three bytes of an unfinished character lie between.
  uint32_t path[3] = {};
  uint32_t node = trie_.parent(exit.node);
  for (uint32_t i = exit.back; i > 0; --i, node = trie_.parent(node)) path[i - 1] = node;
  for (uint32_t i = 0; i < exit.back && state != kDead; ++i) {
    state = table_.step(state, trie_.byte(path[i]));
  }
  if (state != kDead && table_.step(state, trie_.byte(exit.node)) != kDead) {
    tasks_.push_back({exit.node, state});
  }
}

}  // namespace quern::grammar
