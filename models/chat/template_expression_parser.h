// Expressions of a chat template; used by the statement parser only.
#pragma once

#include <string>
#include <string_view>

#include "models/chat/template_ast.h"
#include "models/chat/template_token_stream.h"

namespace quern::chat {

class ExpressionParser {
 public:
  ExpressionParser(TokenStream& stream, SymbolTable& symbols)
      : stream_(stream), symbols_(symbols) {}

  ExprPtr parse_expression(bool with_conditional = true);
  // An expression, or several with commas as a tuple. Ends at a closing bracket or tag, or at the
  // name `end_name`.
  ExprPtr parse_tuple(bool with_conditional = true, std::string_view end_name = {},
                      bool in_parentheses = false);
  // A name, a tuple of names, or name.attribute if `with_namespace`.
  ExprPtr parse_target(std::string_view end_name, bool with_namespace);
  // "| filter | filter..." applied to `input`; the first bar is left out if `start_inline`.
  ExprPtr parse_filters(ExprPtr input, bool start_inline = false);

  // While positive, unknown filters and tests are errors only when evaluated, as in Jinja.
  int conditional_depth = 0;
  // Shared nesting counter of statements and expressions.
  int nesting = 0;
  // Whether caller, varargs or kwargs were read since the parser of a macro cleared them.
  bool saw_caller = false;
  bool saw_varargs = false;
  bool saw_kwargs = false;

 private:
  ExprPtr parse_binary(int level);
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_math(int level);
  ExprPtr parse_unary(bool with_filter);
  ExprPtr parse_primary();
  ExprPtr parse_name();
  ExprPtr parse_string();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr node);
  ExprPtr parse_filter_chain(ExprPtr node);
  ExprPtr parse_subscript(ExprPtr node);
  ExprPtr parse_test(ExprPtr node);
  ExprPtr parse_call(ExprPtr node);
  std::unique_ptr<ArgumentList> parse_arguments();
  ExprPtr parse_target_item(bool with_namespace);
  bool at_tuple_end(std::string_view end_name) const;

  ExprPtr make(ExprKind kind, int line) const;
  // Adds a child (may be null) and keeps the depth bound.
  void adopt(Expr& parent, ExprPtr child) const;
  void adopt_arguments(Expr& parent, std::unique_ptr<ArgumentList> arguments) const;
  void deepen(Expr& parent, const Expr& child) const;

  TokenStream& stream_;
  SymbolTable& symbols_;
};

}  // namespace quern::chat
