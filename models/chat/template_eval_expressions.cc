// Expressions; see template_eval.h.
#include <utility>

#include "models/chat/template_eval.h"
#include "models/chat/template_filters.h"
#include "models/chat/template_methods.h"
#include "models/chat/template_operators.h"
#include "models/chat/template_tests.h"

namespace quern::chat {

Value Evaluator::eval(const Expr& expr) {
  const DepthGuard guard(*this);
  charge_work();
  line = expr.line;
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
    case ExprKind::kNamespaceRef:
      return eval_name(expr);
    case ExprKind::kTuple:
    case ExprKind::kList:
      return eval_items(expr);
    case ExprKind::kDict:
      return eval_dict(expr);
    case ExprKind::kAttribute:
      return get_attribute(*this, eval(*expr.children[0]), expr.name);
    case ExprKind::kItem:
    case ExprKind::kBinary:
      return eval_binary(expr);
    case ExprKind::kSlice:
      return eval_slice(expr);
    case ExprKind::kCall:
      return eval_call(expr);
    case ExprKind::kFilter:
      return eval_filter(expr);
    case ExprKind::kTest:
      return eval_test(expr);
    case ExprKind::kNot:
      return Value(!truthy(eval(*expr.children[0])));
    case ExprKind::kNegate:
    case ExprKind::kPlus:
      return negate(eval(*expr.children[0]), expr.kind == ExprKind::kNegate);
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return eval_logic(expr);
    case ExprKind::kConcat:
      return eval_concat(expr);
    case ExprKind::kCompare:
      return eval_compare(expr);
    case ExprKind::kConditional:
      return eval_conditional(expr);
  }
  return Value();
}

Value Evaluator::eval_name(const Expr& expr) {
  size_t looked_at = 0;
  const Value* found = scope_->find(expr.symbol, looked_at);
  charge_work(looked_at / 16);
  if (found != nullptr) return *found;
  return Value::undefined("'" + tree_.symbols[static_cast<size_t>(expr.symbol)].substr(0, 100) +
                          "' is undefined");
}

Value Evaluator::eval_items(const Expr& expr) {
  std::vector<Value> items;
  items.reserve(expr.children.size());
  for (const ExprPtr& child : expr.children) items.push_back(eval(*child));
  return expr.kind == ExprKind::kTuple ? tuple(std::move(items)) : list(std::move(items));
}

Value Evaluator::eval_dict(const Expr& expr) {
  std::vector<std::pair<Value, Value>> items;
  for (size_t i = 0; i + 1 < expr.children.size(); i += 2) {
    Value key = eval(*expr.children[i]);
    items.emplace_back(std::move(key), eval(*expr.children[i + 1]));
  }
  return dict(std::move(items));
}

Value Evaluator::eval_binary(const Expr& expr) {
  const Value left = eval(*expr.children[0]);
  const Value right = eval(*expr.children[1]);
  if (expr.kind == ExprKind::kItem) return get_item(*this, left, right);
  return arithmetic(*this, expr.op, left, right);
}

Value Evaluator::eval_slice(const Expr& expr) {
  const Value object = eval(*expr.children[0]);
  Value parts[3];
  const Value* given[3] = {};
  for (size_t i = 0; i < 3; ++i) {
    if (expr.children[i + 1] == nullptr) continue;
    parts[i] = eval(*expr.children[i + 1]);
    given[i] = &parts[i];
  }
  return get_slice(*this, object, given[0], given[1], given[2]);
}

Arguments Evaluator::eval_arguments(const ArgumentList& list) {
  Arguments out;
  for (const ExprPtr& argument : list.positional) out.positional.push_back(eval(*argument));
  for (const auto& [name, argument] : list.named) out.named.emplace_back(name, eval(*argument));
  if (list.star != nullptr) {
    for (Value& value : elements_of(*this, eval(*list.star))) {
      out.positional.push_back(std::move(value));
    }
  }
  if (list.double_star != nullptr) {
    const Value named = eval(*list.double_star);
    if (named.as_dict() == nullptr) fail("the argument after ** must be a dict");
    for (const auto& [key, value] : named.as_dict()->items) {
      if (key.as_text() == nullptr) fail("names of arguments must be strings");
      charge_bytes(key.as_text()->bytes.size() + 64);
      out.named.emplace_back(key.as_text()->bytes, value);
    }
  }
  return out;
}

Value Evaluator::call_value(const Value& callee, Arguments arguments) {
  if (callee.is_undefined()) fail(callee.undefined_message());
  Object* object = callee.as_object();
  if (object == nullptr || !object->callable()) {
    fail("a value of type " + std::string(type_name(callee)) + " is not callable");
  }
  return object->call(*this, std::move(arguments));
}

Value Evaluator::eval_call(const Expr& expr) {
  const Expr& callee = *expr.children[0];
  if (callee.kind == ExprKind::kAttribute) {
    const Value self = eval(*callee.children[0]);
    if (const MethodRow* method = find_method(self, callee.name)) {
      const Arguments arguments = eval_arguments(*expr.arguments);
      line = expr.line;
      return method->apply(*this, self, arguments);
    }
    const Value function = get_attribute(*this, self, callee.name);
    return call_value(function, eval_arguments(*expr.arguments));
  }
  const Value function = eval(callee);
  Arguments arguments = eval_arguments(*expr.arguments);
  line = expr.line;
  return call_value(function, std::move(arguments));
}

Value Evaluator::eval_filter(const Expr& expr) {
  const Value input = eval(*expr.children[0]);
  const Arguments arguments = eval_arguments(*expr.arguments);
  line = expr.line;
  if (expr.filter == nullptr) fail("there is no filter named '" + expr.name.substr(0, 60) + "'");
  return expr.filter->apply(*this, input, arguments);
}

Value Evaluator::eval_test(const Expr& expr) {
  const Value subject = eval(*expr.children[0]);
  const Arguments arguments = eval_arguments(*expr.arguments);
  line = expr.line;
  if (expr.test == nullptr) fail("there is no test named '" + expr.name.substr(0, 60) + "'");
  return Value(expr.test->holds(*this, subject, arguments));
}

Value Evaluator::eval_logic(const Expr& expr) {
  Value left = eval(*expr.children[0]);
  if (truthy(left) == (expr.kind == ExprKind::kOr)) return left;
  return eval(*expr.children[1]);
}

Value Evaluator::eval_concat(const Expr& expr) {
  TextBuilder out;
  for (const ExprPtr& child : expr.children) append_text(*this, out, eval(*child));
  return text(out.take());
}

Value Evaluator::eval_compare(const Expr& expr) {
  Value left = eval(*expr.children[0]);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = eval(*expr.children[i + 1]);
    if (!compare(*this, expr.ops[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Evaluator::eval_conditional(const Expr& expr) {
  if (truthy(eval(*expr.children[1]))) return eval(*expr.children[0]);
  if (expr.children[2] != nullptr) return eval(*expr.children[2]);
  return Value::undefined(
      "the inline if-expression evaluated to false and no else section was defined");
}

}  // namespace quern::chat
