// Closures, interning of sets and stacks, and runs.
#include "engine/grammar/state_table.h"

#include <algorithm>
#include <span>

namespace quern::grammar {
namespace {

uint64_t mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9E3779B97F4A7C15U + (h << 6) + (h >> 2);
  h *= 0xBF58476D1CE4E5B9U;
  return h ^ (h >> 29);
}

// Slot of `index` (a power of two large) where `same(id)` holds, or the free one to put it.
template <typename Same>
size_t find_slot(const std::vector<uint32_t>& index, uint64_t hash, Same same) {
  const size_t mask = index.size() - 1;
  size_t slot = static_cast<size_t>(hash) & mask;
  while (index[slot] != 0 && !same(index[slot] - 1)) slot = (slot + 1) & mask;
  return slot;
}

// Doubles an index that is more than half full of `n` ids.
template <typename Hash>
void keep_sparse(std::vector<uint32_t>& index, size_t n, Hash hash) {
  if ((n + 1) * 2 < index.size()) return;
  index.assign(index.size() * 2, 0);
  for (uint32_t id = 0; id < n; ++id) {
    index[find_slot(index, hash(id), [](uint32_t) { return false; })] = id + 1;
  }
}

constexpr size_t kFirstIndex = 64;
constexpr uint32_t kVisitsPerReading = 16;

}  // namespace

StateTable::StateTable(const Automaton& automaton)
    : automaton_(&automaton), width_(automaton.n_byte_classes) {
  stacks_.push_back({kBottom, kNone, 0, 0});
  state_index_.assign(kFirstIndex, 0);
  stack_index_.assign(kFirstIndex, 0);
  visits_.resize(kFirstIndex);
}

StateId StateTable::start() {
  if (start_ == kUnknown) {
    items_.clear();
    push(automaton_->start, kBottom, 0);
    start_ = close();
  }
  return start_;
}

StateId StateTable::run_bytes(StateId state, std::string_view bytes) {
  for (const char c : bytes) {
    if (state == kDead) break;
    state = step(state, static_cast<uint8_t>(c));
  }
  return state;
}

StateId StateTable::compute_step(StateId state, uint8_t byte) {
  items_.clear();
  const State source = states_[state];
  for (uint32_t i = source.first; i < source.first + source.count; ++i) {
    const Config config = configs_[i];
    const Node& node = automaton_->nodes[config.node];
    for (uint32_t e = node.first; e < node.first + node.count; ++e) {
      const Edge& edge = automaton_->edges[e];
      if (byte < edge.low || byte > edge.high) continue;
      push(edge.target, config.stack, stacks_[config.stack].depth);
    }
  }
  const StateId next = items_.empty() ? kDead : close();
  next_[state * width_ + automaton_->byte_class[byte]] = next;
  return next;
}

StateId StateTable::close() {
  found_.clear();
  accepting_ = false;
  over_ = false;
  n_visited_ = 0;
  ++epoch_;
  while (!items_.empty() && !over_) {
    const Item item = items_.back();
    items_.pop_back();
    bool is_new = false;
    if (!first_visit(item, is_new)) continue;
    visit_node(item, is_new);
  }
  if (over_) {
    hit_limit_ = true;
    return kDead;
  }
  if (found_.empty() && !accepting_) return kDead;
  std::sort(found_.begin(), found_.end());
  return intern_state(accepting_);
}

// False when the item was looked at before with as low a stack.
bool StateTable::first_visit(const Item& item, bool& is_new) {
  const size_t mask = visits_.size() - 1;
  size_t slot = static_cast<size_t>(mix(item.node, item.stack)) & mask;
  while (visits_[slot].epoch == epoch_ &&
         !(visits_[slot].node == item.node && visits_[slot].stack == item.stack)) {
    slot = (slot + 1) & mask;
  }
  Visit& visit = visits_[slot];
  is_new = visit.epoch != epoch_;
  if (!is_new && visit.low <= item.low) return false;
  visit = {item.node, item.stack, item.low, epoch_};
  if (is_new && ++n_visited_ * 2 > visits_.size()) grow_visits();
  return true;
}

void StateTable::grow_visits() {
  if (n_visited_ > kVisitsPerReading * automaton_->limits.max_active) {
    over_ = true;
    return;
  }
  std::vector<Visit> old(visits_.size() * 2);
  old.swap(visits_);
  const size_t mask = visits_.size() - 1;
  for (const Visit& visit : old) {
    if (visit.epoch != epoch_) continue;
    size_t slot = static_cast<size_t>(mix(visit.node, visit.stack)) & mask;
    while (visits_[slot].epoch == epoch_) slot = (slot + 1) & mask;
    visits_[slot] = visit;
  }
}

void StateTable::visit_node(const Item& item, bool is_new) {
  const Node& node = automaton_->nodes[item.node];
  switch (node.kind) {
    case NodeKind::kBytes:
      if (!is_new) return;
      found_.push_back({item.node, item.stack});
      if (found_.size() > automaton_->limits.max_active) over_ = true;
      return;
    case NodeKind::kSplit:
      for (uint32_t i = node.count; i > 0; --i) {
        push(automaton_->targets[node.first + i - 1], item.stack, item.low);
      }
      return;
    case NodeKind::kReturn: {
      if (item.stack == kBottom) {
        accepting_ = true;
        return;
      }
      const StackNode frame = stacks_[item.stack];
      push(frame.node, frame.parent, std::min(item.low, frame.depth - 1));
      return;
    }
    default:
      expand(item);
  }
}

// Nodes that open a frame or go round a loop.
void StateTable::expand(const Item& item) {
  const Node& node = automaton_->nodes[item.node];
  if (node.kind == NodeKind::kCall) {
    const StackId frame = push_frame(item.stack, node.target, 0);
    if (frame != kNone) push(node.first, frame, item.low);
    return;
  }
  const Loop& loop = automaton_->loops[node.first];
  if (node.kind == NodeKind::kLoopEnter) {
    if (loop.min == 0) push(loop.next, item.stack, item.low);
    const StackId frame = push_frame(item.stack, loop.back, 1);
    if (frame != kNone) push(loop.body, frame, item.low);
    return;
  }
  iterate(item);
}

void StateTable::iterate(const Item& item) {
  const Loop& loop = automaton_->loops[automaton_->nodes[item.node].first];
  const StackNode frame = stacks_[item.stack];
  if (frame.depth > item.low) return;  // an iteration without text leads nowhere new
  const uint32_t low = std::min(item.low, frame.depth - 1);
  if (frame.count >= loop.min) push(loop.next, frame.parent, low);
  if (loop.max != kUnbounded && frame.count >= loop.max) return;
  // Without an upper bound nobody asks for more than whether the lower one is reached.
  const uint32_t count =
      loop.max == kUnbounded ? std::min(frame.count + 1, std::max(loop.min, 1U)) : frame.count + 1;
  const StackId next = push_frame(frame.parent, loop.back, count);
  if (next != kNone) push(loop.body, next, low);
}

StackId StateTable::push_frame(StackId parent, NodeId node, uint32_t count) {
  const uint32_t depth = stacks_[parent].depth + 1;
  if (depth > automaton_->limits.max_stack) {
    hit_limit_ = true;
    return kNone;
  }
  const StackNode wanted{parent, node, count, depth};
  const auto hash = [this](uint32_t id) {
    const StackNode& s = stacks_[id];
    return mix(mix(s.parent, s.node), s.count);
  };
  const size_t slot = find_slot(stack_index_, mix(mix(parent, node), count),
                                [&](uint32_t id) { return stacks_[id] == wanted; });
  if (stack_index_[slot] != 0) return stack_index_[slot] - 1;
  stacks_.push_back(wanted);
  const auto id = static_cast<StackId>(stacks_.size() - 1);
  stack_index_[slot] = id + 1;
  keep_sparse(stack_index_, stacks_.size(), hash);
  return id;
}

StateId StateTable::intern_state(bool accepting) {
  const auto hash_of = [](const Config* configs, size_t n, bool accepts) {
    uint64_t h = accepts ? 1 : 0;
    for (size_t i = 0; i < n; ++i) h = mix(mix(h, configs[i].node), configs[i].stack);
    return h;
  };
  const auto hash = [&](uint32_t id) {
    const State& s = states_[id];
    return hash_of(configs_.data() + s.first, s.count, s.accepting);
  };
  const size_t slot =
      find_slot(state_index_, hash_of(found_.data(), found_.size(), accepting), [&](uint32_t id) {
        const State& s = states_[id];
        return s.accepting == accepting && s.count == found_.size() &&
               std::equal(found_.begin(), found_.end(), configs_.begin() + s.first);
      });
  if (state_index_[slot] != 0) return state_index_[slot] - 1;
  const auto id = static_cast<StateId>(states_.size());
  states_.push_back(
      {static_cast<uint32_t>(configs_.size()), static_cast<uint32_t>(found_.size()), accepting});
  configs_.insert(configs_.end(), found_.begin(), found_.end());
  next_.resize(next_.size() + width_, kUnknown);
  state_index_[slot] = id + 1;
  keep_sparse(state_index_, states_.size(), hash);
  return id;
}

Run StateTable::run_of(StateId state) {
  if (!states_[state].run_known) {
    const Run run = find_run(state);
    states_[state].run = run;
    states_[state].run_known = true;
  }
  return states_[state].run;
}

// Whether the node at `place` shares no first byte with any other reading.
bool StateTable::stands_alone(StateId state, uint32_t place) const {
  const State& s = states_[state];
  const auto edges_of = [this](uint32_t i) {
    const Node& node = automaton_->nodes[configs_[i].node];
    return std::span(automaton_->edges).subspan(node.first, node.count);
  };
  for (uint32_t i = s.first; i < s.first + s.count; ++i) {
    if (i == place) continue;
    for (const Edge& other : edges_of(i)) {
      for (const Edge& edge : edges_of(place)) {
        if (other.low <= edge.high && edge.low <= other.high) return false;
      }
    }
  }
  return true;
}

Run StateTable::find_run(StateId state) {
  // With many readings none stands alone, and looking at all pairs would cost.
  constexpr uint32_t kMaxReadings = 64;
  const State source = states_[state];
  if (source.count > kMaxReadings) return {};
  for (uint32_t i = source.first; i < source.first + source.count; ++i) {
    const Config config = configs_[i];
    const Node& node = automaton_->nodes[config.node];
    if (node.class_id == kNone || !stands_alone(state, i)) continue;
    items_.clear();
    push(node.target, config.stack, stacks_[config.stack].depth);
    const StateId next = close();
    if (next != kDead) return {node.class_id, next};
  }
  return {};
}

StateId StateTable::import(const StateTable& from, StateId state) {
  if (state == kDead) return kDead;
  const State& source = from.states_[state];
  found_.clear();
  for (uint32_t i = source.first; i < source.first + source.count; ++i) {
    const Config& config = from.configs_[i];
    std::vector<StackId> frames;
    for (StackId s = config.stack; s != kBottom; s = from.stacks_[s].parent) frames.push_back(s);
    StackId stack = kBottom;
    for (auto it = frames.rbegin(); it != frames.rend(); ++it) {
      stack = push_frame(stack, from.stacks_[*it].node, from.stacks_[*it].count);
    }
    found_.push_back({config.node, stack});
  }
  std::sort(found_.begin(), found_.end());
  return intern_state(source.accepting);
}

size_t StateTable::bytes() const {
  return states_.capacity() * sizeof(State) + configs_.capacity() * sizeof(Config) +
         next_.capacity() * sizeof(StateId) + stacks_.capacity() * sizeof(StackNode) +
         (state_index_.capacity() + stack_index_.capacity()) * sizeof(uint32_t) +
         visits_.capacity() * sizeof(Visit);
}

}  // namespace quern::grammar
