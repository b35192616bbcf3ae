// Runs the syntax tree of a template: one Evaluator per rendering.
//
// Recursion follows the tree and the template's macro calls only; both are counted (DepthGuard,
// kCallDepth), and every statement, loop turn and expression is charged.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "models/chat/template_ast.h"
#include "models/chat/template_runtime.h"
#include "models/chat/template_scope.h"

namespace quern::chat {

class Evaluator final : public Runtime {
 public:
  // The tree must outlive this.
  explicit Evaluator(const TemplateTree& tree);

  // Sets a variable of the outermost scope, if the template mentions it.
  void set_variable(std::string_view name, Value value);
  // Renders; throws TemplateError.
  Text render();

  // Calls the macro defined in `closure`.
  Value call_macro(const MacroParts& macro, const ScopeRef& closure, const Arguments& arguments);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  Flow run_block(const Block& block);
  Flow run(const Stmt& statement);
  void run_output(const Stmt& statement);
  Flow run_if(const Stmt& statement);
  Flow run_for(const Stmt& statement);
  Flow run_set_block(const Stmt& statement);
  Flow run_filter_block(const Stmt& statement);
  Flow run_with(const Stmt& statement);
  void run_call_block(const Stmt& statement);
  Flow run_scoped(const Block& block);
  // Runs a block in a scope of its own and keeps what it writes.
  Flow run_captured(const Block& block, Value& out);
  Value filtered(const Expr* filters, Value input);
  std::vector<Value> filtered_items(const Stmt& statement, std::vector<Value> items);

  void write(const Value& value);
  void check_output() const;
  void assign(const Expr& target, Value value);
  void bind_macro_arguments(const MacroParts& macro, const Arguments& arguments);
  ScopeRef inner_scope();

  Value eval(const Expr& expr);
  Value eval_name(const Expr& expr);
  Value eval_items(const Expr& expr);
  Value eval_dict(const Expr& expr);
  Value eval_slice(const Expr& expr);
  Value eval_call(const Expr& expr);
  Value eval_filter(const Expr& expr);
  Value eval_test(const Expr& expr);
  Value eval_binary(const Expr& expr);
  Value eval_logic(const Expr& expr);
  Value eval_concat(const Expr& expr);
  Value eval_compare(const Expr& expr);
  Value eval_conditional(const Expr& expr);
  Value call_value(const Value& callee, Arguments arguments);
  Arguments eval_arguments(const ArgumentList& list);

  const TemplateTree& tree_;
  ScopeRef scope_;
  TextBuilder* out_ = nullptr;
  int call_depth_ = 0;
};

}  // namespace quern::chat
