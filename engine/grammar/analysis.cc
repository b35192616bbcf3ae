// Nullable and productive by one worklist over the arena; left recursion by a walk of the rules
// with an explicit stack.
#include <algorithm>

#include "engine/grammar/grammar.h"

namespace quern::grammar {
namespace {

// The least solution of "an expression has the property": given per leaf, all of a sequence's
// items, any of a choice's. Source: Dowling and Gallier 1984 (linear-time Horn clauses).
class LeastFixpoint {
 public:
  LeastFixpoint(const Grammar& grammar, bool classes_have_it)
      : grammar_(grammar), has_(grammar.n_exprs(), false), missing_(grammar.n_exprs(), 0) {
    index_parents();
    for (ExprId id = 0; id < grammar.n_exprs(); ++id) seed(id, classes_have_it);
    while (!queue_.empty()) {
      const ExprId id = queue_.back();
      queue_.pop_back();
      for (uint32_t i = parent_begin_[id]; i < parent_begin_[id + 1]; ++i) notify(parents_[i]);
      for (uint32_t i = body_begin_[id]; i < body_begin_[id + 1]; ++i) set(rule_calls_[i]);
    }
  }

  std::vector<bool> take() && { return std::move(has_); }

 private:
  // parents_ and rule_calls_ as compressed rows.
  void index_parents() {
    const auto n = grammar_.n_exprs();
    std::vector<std::pair<ExprId, ExprId>> pairs;
    std::vector<std::vector<ExprId>> calls(grammar_.rules().size());
    for (ExprId id = 0; id < n; ++id) {
      const Expr& e = grammar_.expr(id);
      if (e.op == Op::kSequence || e.op == Op::kChoice) {
        for (const ExprId child : grammar_.children(e)) pairs.emplace_back(child, id);
      } else if (e.op == Op::kRepeat) {
        pairs.emplace_back(e.first, id);
      } else if (e.op == Op::kRule) {
        calls[e.first].push_back(id);
      }
    }
    fill_rows(pairs, parent_begin_, parents_);
    pairs.clear();
    for (size_t rule = 0; rule < calls.size(); ++rule) {
      for (const ExprId call : calls[rule]) {
        pairs.emplace_back(grammar_.rules()[rule].body, call);
      }
    }
    fill_rows(pairs, body_begin_, rule_calls_);
  }

  void fill_rows(std::vector<std::pair<ExprId, ExprId>>& pairs, std::vector<uint32_t>& begin,
                 std::vector<ExprId>& values) const {
    std::sort(pairs.begin(), pairs.end());
    begin.assign(grammar_.n_exprs() + 1, 0);
    for (const auto& [from, to] : pairs) ++begin[from + 1];
    for (size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
    for (const auto& [from, to] : pairs) values.push_back(to);
  }

  void seed(ExprId id, bool classes_have_it) {
    const Expr& e = grammar_.expr(id);
    if (e.op == Op::kLiteral && (e.count == 0 || classes_have_it)) set(id);
    if (e.op == Op::kClass && classes_have_it && !grammar_.classes()[e.first].empty()) set(id);
    if (e.op == Op::kRepeat && e.min == 0) set(id);
    if (e.op == Op::kSequence) {
      missing_[id] = e.count;
      if (e.count == 0) set(id);
    }
  }

  void set(ExprId id) {
    if (has_[id]) return;
    has_[id] = true;
    queue_.push_back(id);
  }

  void notify(ExprId parent) {
    const bool sequence = grammar_.expr(parent).op == Op::kSequence;
    if (!sequence || --missing_[parent] == 0) set(parent);
  }

  const Grammar& grammar_;
  std::vector<bool> has_;
  std::vector<uint32_t> missing_;
  std::vector<ExprId> queue_;
  std::vector<uint32_t> parent_begin_;
  std::vector<ExprId> parents_;
  std::vector<uint32_t> body_begin_;
  std::vector<ExprId> rule_calls_;
};

// Rules that `rule` may begin with, before any character.
std::vector<RuleId> left_calls(const Grammar& grammar, const std::vector<bool>& nullable,
                               RuleId rule) {
  std::vector<RuleId> out;
  std::vector<ExprId> open = {grammar.rules()[rule].body};
  while (!open.empty()) {
    const Expr& e = grammar.expr(open.back());
    open.pop_back();
    if (e.op == Op::kRule) out.push_back(e.first);
    if (e.op == Op::kRepeat && e.max > 0) open.push_back(e.first);
    if (e.op == Op::kChoice) {
      for (const ExprId child : grammar.children(e)) open.push_back(child);
    }
    if (e.op == Op::kSequence) {
      for (const ExprId child : grammar.children(e)) {
        open.push_back(child);
        if (!nullable[child]) break;
      }
    }
  }
  return out;
}

std::string chain_text(const Grammar& grammar, std::span<const RuleId> chain) {
  constexpr size_t kShown = 6;
  std::string text;
  for (size_t i = 0; i < chain.size() && i < kShown; ++i) {
    text += "'" + grammar.rules()[chain[i]].name + "' begins with ";
  }
  if (chain.size() > kShown) text += "... ";
  return text + "'" + grammar.rules()[chain.front()].name + "'";
}

Status check_left_recursion(const Grammar& grammar, const std::vector<bool>& nullable) {
  enum class Mark : uint8_t { kNew, kOpen, kDone };
  struct Level {
    std::vector<RuleId> next;
    size_t at = 0;
  };
  std::vector<Mark> marks(grammar.rules().size(), Mark::kNew);
  for (RuleId start = 0; start < marks.size(); ++start) {
    if (marks[start] != Mark::kNew) continue;
    std::vector<RuleId> path = {start};
    std::vector<Level> levels;
    levels.push_back({left_calls(grammar, nullable, start)});
    marks[start] = Mark::kOpen;
    while (!levels.empty()) {
      QUERN_RETURN_IF_ERROR(grammar.budget().spend(1));
      Level& level = levels.back();
      if (level.at == level.next.size()) {
        marks[path.back()] = Mark::kDone;
        path.pop_back();
        levels.pop_back();
        continue;
      }
      const RuleId next = level.next[level.at++];
      if (marks[next] == Mark::kDone) continue;
      if (marks[next] == Mark::kOpen) {
        const auto from = std::find(path.begin(), path.end(), next);
        const std::vector<RuleId> cycle(from, path.end());
        return Error(ErrorKind::kInvalidInput,
                     "left recursion: " + chain_text(grammar, cycle) +
                         "; rewrite it with a repetition (x ::= y (\",\" y)*)");
      }
      marks[next] = Mark::kOpen;
      path.push_back(next);
      levels.push_back({left_calls(grammar, nullable, next)});
    }
  }
  return ok_status();
}

}  // namespace

Result<Analysis> analyze(const Grammar& grammar) {
  if (!grammar.status().ok()) return grammar.status().error();
  QUERN_RETURN_IF_ERROR(grammar.budget().spend(grammar.n_exprs()));
  Analysis out;
  out.nullable = LeastFixpoint(grammar, false).take();
  out.productive = LeastFixpoint(grammar, true).take();
  if (!out.productive[grammar.rules()[grammar.root()].body]) {
    return Error(ErrorKind::kInvalidInput,
                 "no text of finite length can satisfy rule '" +
                     grammar.rules()[grammar.root()].name +
                     "'; give its recursion an end, or remove what contradicts itself");
  }
  QUERN_RETURN_IF_ERROR(check_left_recursion(grammar, out.nullable));
  return out;
}

}  // namespace quern::grammar
