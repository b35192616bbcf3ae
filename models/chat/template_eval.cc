// Statements; see template_eval.h. Expressions are in template_eval_expressions.cc.
#include "models/chat/template_eval.h"

#include <algorithm>
#include <utility>

#include "models/chat/template_functions.h"
#include "models/chat/template_loop.h"
#include "models/chat/template_operators.h"

namespace quern::chat {
namespace {

// Puts a value in a place for as long as it lives.
template <typename T>
class Restore {
 public:
  Restore(T& place, T value) : place_(place), old_(std::exchange(place, std::move(value))) {}
  ~Restore() { place_ = std::move(old_); }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  T& place_;
  T old_;
};

class Macro final : public Object {
 public:
  Macro(Evaluator& evaluator, const MacroParts& parts, ScopeRef closure)
      : evaluator_(evaluator), parts_(parts), closure_(std::move(closure)) {}
  std::string_view type_name() const override { return "Macro"; }
  bool callable() const override { return true; }
  Value call(Runtime&, Arguments arguments) override {
    return evaluator_.call_macro(parts_, closure_, arguments);
  }

 private:
  Evaluator& evaluator_;
  const MacroParts& parts_;
  ScopeRef closure_;
};

}  // namespace

Evaluator::Evaluator(const TemplateTree& tree) : tree_(tree), scope_(std::make_shared<Scope>()) {
  scope_->dense.resize(tree.symbols.size());
  for (auto& [name, function] : global_functions(*this)) set_variable(name, std::move(function));
}

void Evaluator::set_variable(std::string_view name, Value value) {
  const auto found = tree_.symbol_numbers.find(std::string(name));
  if (found != tree_.symbol_numbers.end()) scope_->set(found->second, std::move(value));
}

Text Evaluator::render() {
  TextBuilder out;
  out_ = &out;
  run_block(tree_.body);
  return out.take();
}

ScopeRef Evaluator::inner_scope() {
  charge_bytes(sizeof(Scope) / 4);
  auto scope = std::make_shared<Scope>();
  scope->parent = scope_;
  return scope;
}

void Evaluator::check_output() const {
  if (out_->size() > output_limit) {
    fail("the output exceeds " + std::to_string(output_limit) +
         " bytes, the limit for a request of this size");
  }
}

void Evaluator::write(const Value& value) {
  append_text(*this, *out_, value);
  check_output();
}

Evaluator::Flow Evaluator::run_block(const Block& block) {
  const DepthGuard guard(*this);
  for (const StmtPtr& statement : block) {
    const Flow flow = run(*statement);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::run(const Stmt& statement) {
  charge_step();
  line = statement.line;
  switch (statement.kind) {
    case StmtKind::kText:
      charge_bytes(statement.text.size());
      out_->append(statement.text, false);
      check_output();
      return Flow::kNext;
    case StmtKind::kOutput:
      run_output(statement);
      return Flow::kNext;
    case StmtKind::kIf:
      return run_if(statement);
    case StmtKind::kFor:
      return run_for(statement);
    case StmtKind::kSet:
      assign(*statement.target, eval(*statement.values[0]));
      return Flow::kNext;
    case StmtKind::kSetBlock:
      return run_set_block(statement);
    case StmtKind::kMacro:
      scope_->set(statement.macro->symbol,
                  Value(static_cast<Object*>(make<Macro>(*this, *statement.macro, scope_))));
      return Flow::kNext;
    case StmtKind::kCallBlock:
      run_call_block(statement);
      return Flow::kNext;
    case StmtKind::kFilterBlock:
      return run_filter_block(statement);
    case StmtKind::kWith:
      return run_with(statement);
    case StmtKind::kScope:
      return run_scoped(statement.branches[0]);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

void Evaluator::run_output(const Stmt& statement) {
  for (const ExprPtr& value : statement.values) write(eval(*value));
}

Evaluator::Flow Evaluator::run_if(const Stmt& statement) {
  for (size_t i = 0; i < statement.values.size(); ++i) {
    if (truthy(eval(*statement.values[i]))) return run_block(statement.branches[i]);
  }
  const bool has_else = statement.branches.size() > statement.values.size();
  return has_else ? run_block(statement.branches.back()) : Flow::kNext;
}

std::vector<Value> Evaluator::filtered_items(const Stmt& statement, std::vector<Value> items) {
  std::vector<Value> kept;
  for (Value& item : items) {
    charge_step();
    const Restore restore(scope_, inner_scope());
    assign(*statement.target, item);
    if (truthy(eval(*statement.values[1]))) kept.push_back(std::move(item));
  }
  return kept;
}

Evaluator::Flow Evaluator::run_for(const Stmt& statement) {
  LoopItems items;
  {
    const Value iterable = eval(*statement.values[0]);
    if (statement.values[1] != nullptr) {
      items = LoopItems(filtered_items(statement, elements_of(*this, iterable)));
    } else {
      items = LoopItems(*this, iterable);
    }
  }
  if (items.size() == 0) {
    return statement.branches.size() > 1 ? run_scoped(statement.branches[1]) : Flow::kNext;
  }
  auto* loop = make<LoopObject>(std::move(items));
  for (size_t i = 0; i < loop->items().size(); ++i) {
    charge_step();
    const Restore restore(scope_, inner_scope());
    loop->move_to(i);
    scope_->set(kLoopSymbol, Value(static_cast<Object*>(loop)));
    assign(*statement.target, loop->items().at(i));
    if (run_block(statement.branches[0]) == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::run_scoped(const Block& block) {
  const Restore restore(scope_, inner_scope());
  return run_block(block);
}

Evaluator::Flow Evaluator::run_captured(const Block& block, Value& out) {
  TextBuilder captured;
  const Restore restore(out_, &captured);
  const Flow flow = run_scoped(block);
  out = text(captured.take());
  return flow;
}

Value Evaluator::filtered(const Expr* filters, Value input) {
  if (filters == nullptr) return input;
  const Restore restore(scope_, inner_scope());
  scope_->set(kBlockInputSymbol, std::move(input));
  return eval(*filters);
}

Evaluator::Flow Evaluator::run_set_block(const Stmt& statement) {
  Value body;
  const Flow flow = run_captured(statement.branches[0], body);
  if (flow != Flow::kNext) return flow;
  assign(*statement.target, filtered(statement.values[0].get(), std::move(body)));
  return Flow::kNext;
}

Evaluator::Flow Evaluator::run_filter_block(const Stmt& statement) {
  Value body;
  const Flow flow = run_captured(statement.branches[0], body);
  if (flow == Flow::kNext) write(filtered(statement.values[0].get(), std::move(body)));
  return flow;
}

Evaluator::Flow Evaluator::run_with(const Stmt& statement) {
  ScopeRef inside = inner_scope();
  for (size_t i = 0; i + 1 < statement.values.size(); i += 2) {
    Value value = eval(*statement.values[i + 1]);  // in the outer scope
    const Restore restore(scope_, inside);
    assign(*statement.values[i], std::move(value));
  }
  const Restore restore(scope_, std::move(inside));
  return run_block(statement.branches[0]);
}

void Evaluator::run_call_block(const Stmt& statement) {
  const Expr& call = *statement.values[0];
  const Value callee = eval(*call.children[0]);
  Arguments arguments = eval_arguments(*call.arguments);
  arguments.named.emplace_back(
      "caller", Value(static_cast<Object*>(make<Macro>(*this, *statement.macro, scope_))));
  write(call_value(callee, std::move(arguments)));
}

void Evaluator::assign(const Expr& target, Value value) {
  if (target.kind == ExprKind::kName) return scope_->set(target.symbol, std::move(value));
  if (target.kind == ExprKind::kNamespaceRef) {
    size_t looked_at = 0;
    const Value* held = scope_->find(target.symbol, looked_at);
    auto* space = held == nullptr ? nullptr : dynamic_cast<Namespace*>(held->as_object());
    if (space == nullptr) fail("attributes can only be set on a namespace object");
    return space->set(*this, target.name, std::move(value));
  }
  std::vector<Value> parts = elements_of(*this, value);
  if (parts.size() != target.children.size()) {
    fail("cannot unpack " + std::to_string(parts.size()) + " values into " +
         std::to_string(target.children.size()) + " names");
  }
  for (size_t i = 0; i < parts.size(); ++i) assign(*target.children[i], std::move(parts[i]));
}

void Evaluator::bind_macro_arguments(const MacroParts& macro, const Arguments& arguments) {
  const size_t count = macro.parameters.size();
  const size_t given = std::min(arguments.positional.size(), count);
  const size_t first_default = count - macro.defaults.size();
  std::vector<bool> used(arguments.named.size(), false);
  const auto take_named = [&](std::string_view name) -> const Value* {
    for (size_t i = 0; i < used.size(); ++i) {
      if (used[i] || arguments.named[i].first != name) continue;
      used[i] = true;
      return &arguments.named[i].second;
    }
    return nullptr;
  };
  bool has_caller = false;
  for (size_t i = 0; i < count; ++i) {
    const auto& [name, symbol] = macro.parameters[i];
    has_caller |= name == "caller";
    const Value* value = i < given ? &arguments.positional[i] : take_named(name);
    if (value != nullptr) {
      scope_->set(symbol, *value);
    } else if (i >= first_default) {
      scope_->set(symbol, eval(*macro.defaults[i - first_default]));
    } else {
      scope_->set(symbol, Value::undefined("parameter '" + name + "' was not provided"));
    }
  }
  if (macro.uses_caller && !has_caller) {
    const Value* caller = take_named("caller");
    scope_->set(kCallerSymbol, caller == nullptr ? Value::undefined("No caller defined") : *caller);
  }
  if (macro.uses_varargs) {
    scope_->set(kVarargsSymbol, tuple({arguments.positional.begin() + static_cast<int64_t>(given),
                                       arguments.positional.end()}));
  } else if (arguments.positional.size() > count) {
    fail("macro '" + macro.name + "' takes not more than " + std::to_string(count) +
         " argument(s)");
  }
  std::vector<std::pair<Value, Value>> rest;
  for (size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    const auto& [name, value] = arguments.named[i];
    if (!macro.uses_kwargs) {
      fail("macro '" + macro.name + "' takes no keyword argument '" + name.substr(0, 60) + "'");
    }
    rest.emplace_back(text(name), value);
  }
  if (macro.uses_kwargs) scope_->set(kKwargsSymbol, dict(std::move(rest)));
}

Value Evaluator::call_macro(const MacroParts& macro, const ScopeRef& closure,
                            const Arguments& arguments) {
  if (call_depth_ >= TemplateLimits::kCallDepth) {
    fail("macros call each other deeper than " + std::to_string(TemplateLimits::kCallDepth));
  }
  charge_step();
  const Restore called(call_depth_, call_depth_ + 1);
  const Restore defined_in(scope_, ScopeRef(closure));
  const Restore inside(scope_, inner_scope());
  bind_macro_arguments(macro, arguments);
  TextBuilder captured;
  const Restore output(out_, &captured);
  run_block(macro.body);
  return text(captured.take());
}

}  // namespace quern::chat
