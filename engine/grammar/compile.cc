// Expressions to nodes, back to front: an expression is emitted with the node that follows it.
//
// No recursion: the open expressions stand on an explicit stack of frames.
#include <algorithm>
#include <map>

#include "engine/grammar/automaton.h"

namespace quern::grammar {
namespace {

// Repetitions of at most this many nodes are unrolled instead of counted.
constexpr uint64_t kUnrollNodes = 96;
// Rules of at most this many expressions are copied to where they are called.
constexpr uint32_t kInlineExprs = 12;

class Compiler {
 public:
  Compiler(const Grammar& grammar, const Analysis& analysis)
      : grammar_(grammar), analysis_(analysis) {}

  Result<Automaton> run() {
    measure();
    out_.limits = grammar_.budget().limits();
    out_.classes = grammar_.classes();
    return_ = add_node({NodeKind::kReturn});
    fail_ = add_split({});
    entry_.assign(grammar_.rules().size(), kNone);
    out_.start = entry_of(grammar_.root());
    while (!pending_.empty()) {
      const RuleId rule = pending_.back();
      pending_.pop_back();
      const NodeId body = emit(grammar_.rules()[rule].body, return_);
      QUERN_RETURN_IF_ERROR(status_);
      out_.targets[out_.nodes[entry_[rule]].first] = body;
    }
    classify_bytes();
    return std::move(out_);
  }

 private:
  struct Frame {
    ExprId expr;
    NodeId next;
    uint32_t done = 0;                  // children or iterations emitted
    NodeId made = kNone;                // node that later iterations go to
    std::vector<NodeId> branches = {};  // of a choice
  };

  // Sizes of expressions, as far as they matter for the thresholds above.
  void measure() {
    sizes_.assign(grammar_.n_exprs(), 0);
    constexpr uint64_t kHuge = uint64_t{1} << 40;
    for (ExprId id = 0; id < grammar_.n_exprs(); ++id) {
      const Expr& e = grammar_.expr(id);
      uint64_t size = 1;
      if (e.op == Op::kLiteral) size = e.count;
      if (e.op == Op::kClass) size = grammar_.classes()[e.first].ranges().size();
      if (e.op == Op::kSequence || e.op == Op::kChoice) {
        for (const ExprId child : grammar_.children(e)) size += sizes_[child];
      }
      if (e.op == Op::kRepeat) {
        const uint64_t times = e.max == kUnbounded ? std::max<uint64_t>(e.min, 1) : e.max;
        size = sizes_[e.first] * std::max<uint64_t>(times, 1) + 1;
        if (size > kUnrollNodes) size = sizes_[e.first] + 4;
      }
      sizes_[id] = std::min(size, kHuge);
    }
  }

  NodeId add_node(Node node) {
    charge(1);
    out_.nodes.push_back(node);
    return static_cast<NodeId>(out_.nodes.size() - 1);
  }

  NodeId add_split(std::span<const NodeId> targets) {
    charge(targets.size());
    const auto first = static_cast<uint32_t>(out_.targets.size());
    out_.targets.insert(out_.targets.end(), targets.begin(), targets.end());
    return add_node({NodeKind::kSplit, first, static_cast<uint32_t>(targets.size())});
  }

  NodeId add_bytes(std::span<const Edge> edges) {
    charge(edges.size());
    const auto first = static_cast<uint32_t>(out_.edges.size());
    out_.edges.insert(out_.edges.end(), edges.begin(), edges.end());
    return add_node({NodeKind::kBytes, first, static_cast<uint32_t>(edges.size())});
  }

  void charge(size_t units) {
    const size_t used = out_.nodes.size() + out_.edges.size() + out_.targets.size() + units;
    if (!status_.ok()) return;
    if (used > grammar_.budget().limits().max_states) {
      status_ = over_limit("the grammar is too large (states of its automaton)", used,
                           grammar_.budget().limits().max_states, "make it smaller");
    } else {
      status_ = grammar_.budget().spend(1 + units);
    }
  }

  NodeId entry_of(RuleId rule) {
    if (entry_[rule] == kNone) {
      entry_[rule] = add_split(std::span(&fail_, 1));
      pending_.push_back(rule);
    }
    return entry_[rule];
  }

  NodeId emit(ExprId root, NodeId after) {
    std::vector<Frame> frames;
    frames.push_back({root, after});
    NodeId result = kNone;
    bool entering = true;
    while (!frames.empty() && status_.ok()) {
      Frame& top = frames.back();
      ExprId child = kNone;
      NodeId child_next = kNone;
      if (advance(top, entering, result, child, child_next)) {
        frames.pop_back();
        entering = false;
      } else {
        frames.push_back({child, child_next});
        entering = true;
      }
    }
    return result;
  }

  // One step of a frame. True: done, its node is in `result`. False: `child` is to be emitted
  // before `child_next`, and the frame is called again with its node in `result`.
  bool advance(Frame& frame, bool entering, NodeId& result, ExprId& child, NodeId& child_next) {
    const Expr& e = grammar_.expr(frame.expr);
    if (entering && !analysis_.productive[frame.expr]) {
      result = fail_;
      return true;
    }
    switch (e.op) {
      case Op::kLiteral:
        result = literal(grammar_.bytes(e), frame.next);
        return true;
      case Op::kClass:
        result = char_class(e.first, frame.next);
        return true;
      case Op::kSequence:
        return advance_sequence(e, frame, entering, result, child, child_next);
      case Op::kChoice:
        return advance_choice(e, frame, entering, result, child, child_next);
      case Op::kRepeat:
        return advance_repeat(e, frame, entering, result, child, child_next);
      case Op::kRule:
        return advance_rule(e, frame, entering, result, child, child_next);
    }
    return true;
  }

  bool advance_sequence(const Expr& e, Frame& frame, bool entering, NodeId& result, ExprId& child,
                        NodeId& child_next) {
    if (entering) result = frame.next;
    if (frame.done == e.count) return true;
    ++frame.done;
    child = grammar_.children(e)[e.count - frame.done];
    child_next = result;
    return false;
  }

  bool advance_choice(const Expr& e, Frame& frame, bool entering, NodeId& result, ExprId& child,
                      NodeId& child_next) {
    if (!entering && result != fail_) frame.branches.push_back(result);
    if (frame.done == e.count) {
      result = frame.branches.size() == 1 ? frame.branches.front() : add_split(frame.branches);
      return true;
    }
    child = grammar_.children(e)[frame.done++];
    child_next = frame.next;
    return false;
  }

  bool advance_rule(const Expr& e, Frame& frame, bool entering, NodeId& result, ExprId& child,
                    NodeId& child_next) {
    if (!entering) return true;
    const ExprId body = grammar_.rules()[e.first].body;
    if (sizes_[body] <= kInlineExprs && is_flat(body)) {
      child = body;
      child_next = frame.next;
      return false;
    }
    const NodeId callee = entry_of(e.first);
    result = frame.next == return_ ? callee : add_node({NodeKind::kCall, callee, 0, frame.next});
    return true;
  }

  // Whether it refers to no rule, looking no deeper than a small expression can be.
  bool is_flat(ExprId body) const {
    std::vector<ExprId> open = {body};
    for (uint32_t seen = 0; !open.empty(); ++seen) {
      const Expr& e = grammar_.expr(open.back());
      open.pop_back();
      if (e.op == Op::kRule || seen > 4 * kInlineExprs) return false;
      if (e.op == Op::kRepeat) open.push_back(e.first);
      if (e.op == Op::kSequence || e.op == Op::kChoice) {
        for (const ExprId child : grammar_.children(e)) open.push_back(child);
      }
    }
    return true;
  }

  bool advance_repeat(const Expr& e, Frame& frame, bool entering, NodeId& result, ExprId& child,
                      NodeId& child_next) {
    if (entering && (e.max == 0 || !analysis_.productive[e.first])) {
      result = frame.next;
      return true;
    }
    const uint64_t times = e.max == kUnbounded ? std::max<uint64_t>(e.min, 1) : e.max;
    const bool star = e.max == kUnbounded && e.min <= 1;
    if (star) return advance_star(e, frame, entering, result, child, child_next);
    if (times * sizes_[e.first] > kUnrollNodes && times > 1) {
      return advance_counted(e, frame, entering, result, child, child_next);
    }
    return advance_unrolled(e, frame, entering, result, child, child_next);
  }

  // x* and x+: a split that the body comes back to.
  bool advance_star(const Expr& e, Frame& frame, bool entering, NodeId& result, ExprId& child,
                    NodeId& child_next) {
    if (!entering) {
      out_.targets[out_.nodes[frame.made].first] = result;
      if (e.min == 0) result = frame.made;
      return true;
    }
    const NodeId targets[] = {fail_, frame.next};
    frame.made = add_split(targets);
    child = e.first;
    child_next = frame.made;
    return false;
  }

  // Copies, last one first; those beyond min may be skipped to the end of the repetition.
  bool advance_unrolled(const Expr& e, Frame& frame, bool entering, NodeId& result, ExprId& child,
                        NodeId& child_next) {
    const bool open_end = e.max == kUnbounded;
    const uint32_t optional = open_end ? 1 : e.max - e.min;
    if (entering) {
      result = frame.next;
      if (open_end) {
        const NodeId targets[] = {fail_, frame.next};
        frame.made = add_split(targets);
      }
    } else if (frame.done <= optional) {
      if (open_end) {
        out_.targets[out_.nodes[frame.made].first] = result;
        result = frame.made;
      } else {
        const NodeId targets[] = {result, frame.next};
        result = add_split(targets);
      }
    }
    if (frame.done == optional + e.min) return true;
    child_next = open_end && frame.done == 0 ? frame.made : result;
    ++frame.done;
    child = e.first;
    return false;
  }

  bool advance_counted(const Expr& e, Frame& frame, bool entering, NodeId& result, ExprId& child,
                       NodeId& child_next) {
    if (entering) {
      const auto id = static_cast<uint32_t>(out_.loops.size());
      const NodeId back = add_node({NodeKind::kLoopBack, id});
      // Iterations that may be empty are as good as made.
      const uint32_t min = analysis_.nullable[e.first] ? 0 : e.min;
      out_.loops.push_back({min, e.max, fail_, frame.next, back});
      frame.made = id;
      child = e.first;
      child_next = back;
      return false;
    }
    out_.loops[frame.made].body = result;
    result = add_node({NodeKind::kLoopEnter, frame.made});
    return true;
  }

  NodeId literal(std::string_view bytes, NodeId next) {
    for (size_t i = bytes.size(); i > 0; --i) {
      const auto byte = static_cast<uint8_t>(bytes[i - 1]);
      const Edge edge = {byte, byte, next};
      next = add_bytes(std::span(&edge, 1));
    }
    return next;
  }

  NodeId char_class(ClassId id, NodeId next) {
    // One class before one node is one machine, however often it is written.
    const auto [it, added] = class_nodes_.try_emplace({id, next}, kNone);
    if (!added) return it->second;
    const std::vector<ByteSequence> sequences = utf8_sequences(out_.classes[id]);
    const NodeId node = byte_tree(sequences, 0, sequences.size(), 0, next);
    if (!status_.ok()) return node;
    out_.nodes[node].class_id = id;
    out_.nodes[node].target = next;
    class_nodes_[{id, next}] = node;
    return node;
  }

  // The node that reads bytes `depth` and following of sequences [begin, end). Recursion is as deep
  // as a character has bytes.
  NodeId byte_tree(const std::vector<ByteSequence>& sequences, size_t begin, size_t end,
                   size_t depth, NodeId next) {
    std::vector<Edge> edges;
    for (size_t i = begin; i < end && status_.ok();) {
      const ByteRange range = sequences[i][depth];
      size_t same = i + 1;
      while (same < end && sequences[same][depth] == range) ++same;
      const bool last = sequences[i].size() == depth + 1;
      const NodeId target = last ? next : byte_tree(sequences, i, same, depth + 1, next);
      edges.push_back({range.low, range.high, target});
      i = same;
    }
    if (depth == 0) return add_bytes(edges);
    // Tails repeat a lot ("any continuation byte"), so equal ones are shared.
    std::vector<uint32_t> key;
    for (const Edge& edge : edges) {
      key.push_back((uint32_t{edge.low} << 8) | edge.high);
      key.push_back(edge.target);
    }
    const auto [it, added] = tails_.try_emplace(std::move(key), kNone);
    if (added) it->second = add_bytes(edges);
    return it->second;
  }

  void classify_bytes() {
    std::array<bool, 257> border{};
    for (const Edge& edge : out_.edges) {
      border[edge.low] = true;
      border[size_t{edge.high} + 1] = true;
    }
    uint8_t number = 0;
    for (size_t byte = 0; byte < 256; ++byte) {
      if (byte > 0 && border[byte]) ++number;
      out_.byte_class[byte] = number;
    }
    out_.n_byte_classes = uint32_t{number} + 1;
  }

  const Grammar& grammar_;
  const Analysis& analysis_;
  Automaton out_;
  Status status_;
  NodeId return_ = 0;
  NodeId fail_ = 0;
  std::vector<NodeId> entry_;    // per rule
  std::vector<RuleId> pending_;  // rules with an entry but no body yet
  std::vector<uint64_t> sizes_;
  std::map<std::pair<ClassId, NodeId>, NodeId> class_nodes_;
  std::map<std::vector<uint32_t>, NodeId> tails_;
};

}  // namespace

size_t Automaton::bytes() const {
  size_t sum = sizeof(Automaton) + nodes.capacity() * sizeof(Node) +
               edges.capacity() * sizeof(Edge) + targets.capacity() * sizeof(NodeId) +
               loops.capacity() * sizeof(Loop);
  for (const CharSet& set : classes) sum += set.ranges().capacity() * sizeof(CodeRange);
  return sum;
}

Result<Automaton> compile(const Grammar& grammar) {
  QUERN_ASSIGN_OR_RETURN(const Analysis analysis, analyze(grammar));
  return Compiler(grammar, analysis).run();
}

}  // namespace quern::grammar
