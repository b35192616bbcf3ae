// The intermediate form that both front ends produce: rules over an arena of expressions.
//
// Holds no state of matching and knows neither GBNF nor JSON. Invariant: the children of an
// expression have smaller ids than itself, so every analysis is one pass without recursion; only
// rule references may point anywhere.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/grammar/budget.h"
#include "engine/grammar/char_set.h"

namespace quern::grammar {

using ExprId = uint32_t;
using RuleId = uint32_t;
using ClassId = uint32_t;
inline constexpr uint32_t kNone = 0xFFFFFFFF;
inline constexpr uint32_t kUnbounded = 0xFFFFFFFF;  // as Expr::max

enum class Op : uint8_t { kLiteral, kClass, kSequence, kChoice, kRepeat, kRule };

struct Expr {
  Op op;
  uint32_t first;  // literal: offset; class, rule: id; repeat: child; else offset in children
  uint32_t count;  // literal: bytes; sequence, choice: children
  uint32_t min = 0;
  uint32_t max = 0;
};

struct Rule {
  std::string name;
  ExprId body = kNone;
};

// Builds and holds a grammar. Making something beyond the budget yields an unusable id and sets
// status(); builders need to look only now and then.
class Grammar {
 public:
  explicit Grammar(Budget& budget) : budget_(&budget) {}

  ExprId literal(std::string_view bytes);
  ExprId empty() { return literal({}); }
  // Matches nothing at all.
  ExprId never() { return choice(std::span<const ExprId>()); }
  ExprId char_class(const CharSet& set);
  ExprId sequence(std::span<const ExprId> items);
  ExprId sequence(std::initializer_list<ExprId> items) {
    return sequence(std::span<const ExprId>(items.begin(), items.size()));
  }
  ExprId choice(std::span<const ExprId> items);
  ExprId choice(std::initializer_list<ExprId> items) {
    return choice(std::span<const ExprId>(items.begin(), items.size()));
  }
  ExprId repeat(ExprId child, uint32_t min, uint32_t max);
  ExprId optional(ExprId child) { return repeat(child, 0, 1); }
  ExprId call(RuleId rule);

  RuleId add_rule(std::string name);
  void define(RuleId rule, ExprId body) { rules_[rule].body = body; }
  void set_root(RuleId rule) { root_ = rule; }

  const Expr& expr(ExprId id) const { return exprs_[id]; }
  std::span<const ExprId> children(const Expr& e) const {
    return std::span(children_).subspan(e.first, e.count);
  }
  std::string_view bytes(const Expr& e) const {
    return std::string_view(bytes_).substr(e.first, e.count);
  }
  size_t n_exprs() const { return exprs_.size(); }
  const std::vector<Rule>& rules() const { return rules_; }
  const std::vector<CharSet>& classes() const { return classes_; }
  RuleId root() const { return root_; }
  Budget& budget() const { return *budget_; }
  // The first limit that was hit.
  const Status& status() const { return status_; }

 private:
  ExprId add(Expr expr);
  void fail(Error error) {
    if (status_.ok()) status_ = std::move(error);
  }

  Budget* budget_;
  std::vector<Expr> exprs_;
  std::vector<ExprId> children_;
  std::string bytes_;
  std::vector<CharSet> classes_;
  std::map<CharSet, ClassId> class_ids_;
  std::vector<Rule> rules_;
  RuleId root_ = 0;
  Status status_;
};

// What every rule and expression can do, computed to a fixed point in linear time.
struct Analysis {
  std::vector<bool> nullable;    // per expression: matches the empty text
  std::vector<bool> productive;  // per expression: matches some text of finite length
};
// Errors (kInvalidInput), by rule name: left recursion, a root that no text can complete.
// Precondition: every rule has a body, grammar.status() is ok.
Result<Analysis> analyze(const Grammar& grammar);

}  // namespace quern::grammar
