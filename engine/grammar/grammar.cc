// Arena of the intermediate form.
#include "engine/grammar/grammar.h"

namespace quern::grammar {

ExprId Grammar::add(Expr expr) {
  const Limits& limits = budget_->limits();
  if (exprs_.size() + children_.size() >= limits.max_expressions) {
    fail(over_limit("the grammar is too large (elements)", exprs_.size() + children_.size() + 1,
                    limits.max_expressions, "make it smaller"));
    return 0;
  }
  if (const Status spent = budget_->spend(1 + expr.count); !spent.ok()) fail(spent.error());
  exprs_.push_back(expr);
  return static_cast<ExprId>(exprs_.size() - 1);
}

ExprId Grammar::literal(std::string_view bytes) {
  // The source is bounded, but one literal may be written for many rules.
  constexpr size_t kMaxLiteralBytes = size_t{4} << 20;
  if (bytes_.size() + bytes.size() > kMaxLiteralBytes) {
    fail(over_limit("the grammar is too large (bytes of literal text)",
                    bytes_.size() + bytes.size(), kMaxLiteralBytes, "make it smaller"));
    return 0;
  }
  const auto first = static_cast<uint32_t>(bytes_.size());
  bytes_.append(bytes);
  return add({Op::kLiteral, first, static_cast<uint32_t>(bytes.size())});
}

ExprId Grammar::char_class(const CharSet& set) {
  const auto [it, added] = class_ids_.emplace(set, static_cast<ClassId>(classes_.size()));
  if (added) classes_.push_back(set);
  return add({Op::kClass, it->second, 0});
}

ExprId Grammar::sequence(std::span<const ExprId> items) {
  if (items.size() == 1) return items.front();
  const auto first = static_cast<uint32_t>(children_.size());
  const ExprId id = add({Op::kSequence, first, static_cast<uint32_t>(items.size())});
  if (status_.ok()) children_.insert(children_.end(), items.begin(), items.end());
  return id;
}

ExprId Grammar::choice(std::span<const ExprId> items) {
  if (items.size() == 1) return items.front();
  const auto first = static_cast<uint32_t>(children_.size());
  const ExprId id = add({Op::kChoice, first, static_cast<uint32_t>(items.size())});
  if (status_.ok()) children_.insert(children_.end(), items.begin(), items.end());
  return id;
}

ExprId Grammar::repeat(ExprId child, uint32_t min, uint32_t max) {
  if (min == 1 && max == 1) return child;
  return add({Op::kRepeat, child, 0, min, max});
}

ExprId Grammar::call(RuleId rule) { return add({Op::kRule, rule, 0}); }

RuleId Grammar::add_rule(std::string name) {
  if (rules_.size() >= budget_->limits().max_rules) {
    fail(over_limit("the grammar has too many rules", rules_.size() + 1,
                    budget_->limits().max_rules, "make it smaller"));
    return 0;
  }
  if (const Status spent = budget_->spend(8); !spent.ok()) fail(spent.error());
  rules_.push_back({std::move(name), kNone});
  return static_cast<RuleId>(rules_.size() - 1);
}

}  // namespace quern::grammar
