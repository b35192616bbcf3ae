// The expression grammar of jinja2.parser; see template_expression_parser.h.
#include "models/chat/template_expression_parser.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "models/chat/template_filters.h"
#include "models/chat/template_tests.h"

namespace quern::chat {
namespace {

struct OperatorRow {
  std::string_view text;
  Op op;
  int level;  // higher binds tighter
};

constexpr int kConcatLevel = 2;
constexpr OperatorRow kMath[] = {
    {"+", Op::kAdd, 1},      {"-", Op::kSubtract, 1}, {"~", Op::kAdd, kConcatLevel},
    {"*", Op::kMultiply, 3}, {"/", Op::kDivide, 3},   {"//", Op::kFloorDivide, 3},
    {"%", Op::kModulo, 3},   {"**", Op::kPower, 4},
};
constexpr OperatorRow kComparisons[] = {
    {"==", Op::kEqual, 0},     {"!=", Op::kNotEqual, 0}, {"<", Op::kLess, 0},
    {"<=", Op::kLessEqual, 0}, {">", Op::kGreater, 0},   {">=", Op::kGreaterEqual, 0},
};

template <size_t N>
const OperatorRow* find_operator(const OperatorRow (&rows)[N], const Token& token) {
  if (token.kind != TokenKind::kOperator) return nullptr;
  const auto* row = std::find_if(std::begin(rows), std::end(rows),
                                 [&](const OperatorRow& r) { return r.text == token.text; });
  return row == std::end(rows) ? nullptr : row;
}

Value text_constant(std::string bytes) {
  auto text = std::make_shared<Text>();
  text->bytes = std::move(bytes);
  return Value(TextRef(std::move(text)));
}

}  // namespace

ExprPtr ExpressionParser::make(ExprKind kind, int line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

void ExpressionParser::deepen(Expr& parent, const Expr& child) const {
  parent.depth = std::max(parent.depth, child.depth + 1);
  if (parent.depth > TemplateLimits::kExpressionDepth) {
    stream_.refuse("an expression has more than " +
                   std::to_string(TemplateLimits::kExpressionDepth) + " levels");
  }
}

void ExpressionParser::adopt(Expr& parent, ExprPtr child) const {
  if (child != nullptr) deepen(parent, *child);
  parent.children.push_back(std::move(child));
}

void ExpressionParser::adopt_arguments(Expr& parent,
                                       std::unique_ptr<ArgumentList> arguments) const {
  for (const ExprPtr& e : arguments->positional) deepen(parent, *e);
  for (const auto& [name, e] : arguments->named) deepen(parent, *e);
  if (arguments->star != nullptr) deepen(parent, *arguments->star);
  if (arguments->double_star != nullptr) deepen(parent, *arguments->double_star);
  parent.arguments = std::move(arguments);
}

bool ExpressionParser::at_tuple_end(std::string_view end_name) const {
  return stream_.is(TokenKind::kVariableEnd) || stream_.is(TokenKind::kBlockEnd) ||
         stream_.is_operator(")") || (!end_name.empty() && stream_.is_name(end_name));
}

ExprPtr ExpressionParser::parse_tuple(bool with_conditional, std::string_view end_name,
                                      bool in_parentheses) {
  ExprPtr tuple = make(ExprKind::kTuple, stream_.line());
  bool is_tuple = false;
  for (;;) {
    if (at_tuple_end(end_name)) break;
    adopt(*tuple, parse_expression(with_conditional));
    if (!stream_.skip_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return tuple;
  if (!tuple->children.empty()) return std::move(tuple->children.front());
  if (!in_parentheses) stream_.refuse_expecting("an expression");
  return tuple;
}

ExprPtr ExpressionParser::parse_target_item(bool with_namespace) {
  if (stream_.skip_operator("(")) {
    const NestingGuard guard(nesting, stream_);
    ExprPtr tuple = make(ExprKind::kTuple, stream_.line());
    while (!stream_.is_operator(")")) {
      adopt(*tuple, parse_target_item(with_namespace));
      if (!stream_.skip_operator(",")) break;
    }
    stream_.expect_operator(")");
    return tuple;
  }
  ExprPtr target = make(ExprKind::kName, stream_.line());
  const std::string name = stream_.expect_name();
  for (const char* word : {"true", "false", "none", "True", "False", "None"}) {
    if (name == word) stream_.refuse("cannot assign to " + name);
  }
  target->symbol = symbols_.intern(name);
  if (with_namespace && stream_.skip_operator(".")) {
    target->kind = ExprKind::kNamespaceRef;
    target->name = stream_.expect_name();
  }
  return target;
}

ExprPtr ExpressionParser::parse_target(std::string_view end_name, bool with_namespace) {
  ExprPtr first = parse_target_item(with_namespace);
  if (!stream_.is_operator(",")) return first;
  ExprPtr tuple = make(ExprKind::kTuple, first->line);
  adopt(*tuple, std::move(first));
  while (stream_.skip_operator(",")) {
    if (at_tuple_end(end_name)) break;
    adopt(*tuple, parse_target_item(with_namespace));
  }
  return tuple;
}

ExprPtr ExpressionParser::parse_expression(bool with_conditional) {
  const NestingGuard guard(nesting, stream_);
  ExprPtr node = parse_binary(0);
  while (with_conditional && stream_.is_name("if")) {
    ExprPtr conditional = make(ExprKind::kConditional, stream_.line());
    stream_.next();
    adopt(*conditional, std::move(node));
    adopt(*conditional, parse_binary(0));
    ExprPtr otherwise;
    if (stream_.skip_name("else")) otherwise = parse_expression();
    adopt(*conditional, std::move(otherwise));
    node = std::move(conditional);
  }
  return node;
}

// Levels: 0 "or", 1 "and", then not, comparisons, arithmetic.
ExprPtr ExpressionParser::parse_binary(int level) {
  const auto operand = [&] { return level == 0 ? parse_binary(1) : parse_not(); };
  ExprPtr left = operand();
  while (stream_.is_name(level == 0 ? "or" : "and")) {
    ExprPtr node = make(level == 0 ? ExprKind::kOr : ExprKind::kAnd, stream_.line());
    stream_.next();
    adopt(*node, std::move(left));
    adopt(*node, operand());
    left = std::move(node);
  }
  return left;
}

ExprPtr ExpressionParser::parse_not() {
  if (!stream_.is_name("not")) return parse_compare();
  const NestingGuard guard(nesting, stream_);
  ExprPtr node = make(ExprKind::kNot, stream_.line());
  stream_.next();
  adopt(*node, parse_not());
  return node;
}

ExprPtr ExpressionParser::parse_compare() {
  ExprPtr first = parse_math(1);
  ExprPtr chain;
  for (;;) {
    std::optional<Op> op;
    if (const OperatorRow* row = find_operator(kComparisons, stream_.current())) {
      op = row->op;
    } else if (stream_.is_name("in")) {
      op = Op::kIn;
    } else if (stream_.is_name("not") && stream_.look().kind == TokenKind::kName &&
               stream_.look().text == "in") {
      op = Op::kNotIn;
      stream_.next();
    }
    if (!op) return chain == nullptr ? std::move(first) : std::move(chain);
    if (chain == nullptr) {
      chain = make(ExprKind::kCompare, stream_.line());
      adopt(*chain, std::move(first));
    }
    stream_.next();
    chain->ops.push_back(*op);
    adopt(*chain, parse_math(1));
  }
}

ExprPtr ExpressionParser::parse_math(int level) {
  ExprPtr left = parse_unary(true);
  for (;;) {
    const OperatorRow* row = find_operator(kMath, stream_.current());
    if (row == nullptr || row->level < level) return left;
    const int line = stream_.next().line;
    ExprPtr right = parse_math(row->level + 1);
    if (row->level == kConcatLevel && left->kind == ExprKind::kConcat) {
      adopt(*left, std::move(right));
      continue;
    }
    ExprPtr node = make(row->level == kConcatLevel ? ExprKind::kConcat : ExprKind::kBinary, line);
    node->op = row->op;
    adopt(*node, std::move(left));
    adopt(*node, std::move(right));
    left = std::move(node);
  }
}

ExprPtr ExpressionParser::parse_unary(bool with_filter) {
  ExprPtr node;
  if (stream_.is_operator("-") || stream_.is_operator("+")) {
    const NestingGuard guard(nesting, stream_);
    node = make(stream_.is_operator("-") ? ExprKind::kNegate : ExprKind::kPlus, stream_.line());
    stream_.next();
    adopt(*node, parse_unary(false));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filter ? parse_filter_chain(std::move(node)) : std::move(node);
}

ExprPtr ExpressionParser::parse_primary() {
  const Token& token = stream_.current();
  if (token.kind == TokenKind::kName) return parse_name();
  if (token.kind == TokenKind::kString) return parse_string();
  if (token.kind == TokenKind::kInteger || token.kind == TokenKind::kFloat) {
    ExprPtr node = make(ExprKind::kConstant, token.line);
    node->constant = token.kind == TokenKind::kInteger ? Value(token.integer) : Value(token.number);
    stream_.next();
    return node;
  }
  if (stream_.skip_operator("(")) {
    ExprPtr node = parse_tuple(true, {}, true);
    stream_.expect_operator(")");
    return node;
  }
  if (stream_.is_operator("[")) return parse_list();
  if (stream_.is_operator("{")) return parse_dict();
  stream_.refuse_expecting("an expression");
}

ExprPtr ExpressionParser::parse_name() {
  const Token token = stream_.next();
  ExprPtr node = make(ExprKind::kConstant, token.line);
  if (token.text == "true" || token.text == "True") {
    node->constant = Value(true);
  } else if (token.text == "false" || token.text == "False") {
    node->constant = Value(false);
  } else if (token.text == "none" || token.text == "None") {
    node->constant = Value(None{});
  } else {
    node->kind = ExprKind::kName;
    node->symbol = symbols_.intern(token.text);
    saw_caller |= token.text == "caller";
    saw_varargs |= token.text == "varargs";
    saw_kwargs |= token.text == "kwargs";
  }
  return node;
}

ExprPtr ExpressionParser::parse_string() {
  ExprPtr node = make(ExprKind::kConstant, stream_.line());
  std::string text;
  while (stream_.is(TokenKind::kString)) text += stream_.next().text;
  node->constant = text_constant(std::move(text));
  return node;
}

ExprPtr ExpressionParser::parse_list() {
  ExprPtr list = make(ExprKind::kList, stream_.next().line);
  while (!stream_.is_operator("]")) {
    adopt(*list, parse_expression());
    if (!stream_.skip_operator(",")) break;
  }
  stream_.expect_operator("]");
  return list;
}

ExprPtr ExpressionParser::parse_dict() {
  ExprPtr dict = make(ExprKind::kDict, stream_.next().line);
  while (!stream_.is_operator("}")) {
    adopt(*dict, parse_expression());
    stream_.expect_operator(":");
    adopt(*dict, parse_expression());
    if (!stream_.skip_operator(",")) break;
  }
  stream_.expect_operator("}");
  return dict;
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr node) {
  for (;;) {
    if (stream_.is_operator(".") || stream_.is_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (stream_.is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::parse_filter_chain(ExprPtr node) {
  for (;;) {
    if (stream_.is_operator("|")) {
      node = parse_filters(std::move(node));
    } else if (stream_.is_name("is")) {
      node = parse_test(std::move(node));
    } else if (stream_.is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr object) {
  const Token token = stream_.next();
  ExprPtr node = make(ExprKind::kItem, token.line);
  adopt(*node, std::move(object));
  if (token.text == ".") {
    if (stream_.is(TokenKind::kInteger)) {
      ExprPtr index = make(ExprKind::kConstant, token.line);
      index->constant = Value(stream_.next().integer);
      adopt(*node, std::move(index));
    } else {
      node->kind = ExprKind::kAttribute;
      node->name = stream_.expect_name();
    }
    return node;
  }
  if (!stream_.is_operator(":")) adopt(*node, parse_expression());
  if (stream_.is_operator(",")) stream_.refuse("an index of several parts is not supported");
  if (stream_.is_operator(":")) {
    node->kind = ExprKind::kSlice;
    if (node->children.size() == 1) node->children.push_back(nullptr);
    while (node->children.size() < 4) {
      const bool present =
          stream_.skip_operator(":") && !stream_.is_operator("]") && !stream_.is_operator(":");
      adopt(*node, present ? parse_expression() : nullptr);
    }
  }
  stream_.expect_operator("]");
  return node;
}

std::unique_ptr<ArgumentList> ExpressionParser::parse_arguments() {
  auto arguments = std::make_unique<ArgumentList>();
  stream_.expect_operator("(");
  const auto ensure = [&](bool holds) {
    if (!holds) stream_.refuse("arguments are in an order that a call cannot have");
  };
  while (!stream_.is_operator(")")) {
    if (stream_.skip_operator("*")) {
      ensure(arguments->star == nullptr && arguments->double_star == nullptr);
      arguments->star = parse_expression();
    } else if (stream_.skip_operator("**")) {
      ensure(arguments->double_star == nullptr);
      arguments->double_star = parse_expression();
    } else if (stream_.is(TokenKind::kName) && stream_.look().kind == TokenKind::kOperator &&
               stream_.look().text == "=") {
      ensure(arguments->double_star == nullptr);
      std::string name = stream_.next().text;
      stream_.next();
      arguments->named.emplace_back(std::move(name), parse_expression());
    } else {
      ensure(arguments->star == nullptr && arguments->double_star == nullptr &&
             arguments->named.empty());
      arguments->positional.push_back(parse_expression());
    }
    if (!stream_.skip_operator(",")) break;
  }
  stream_.expect_operator(")");
  return arguments;
}

ExprPtr ExpressionParser::parse_call(ExprPtr callee) {
  ExprPtr node = make(ExprKind::kCall, stream_.line());
  adopt(*node, std::move(callee));
  adopt_arguments(*node, parse_arguments());
  return node;
}

ExprPtr ExpressionParser::parse_filters(ExprPtr input, bool start_inline) {
  ExprPtr node = std::move(input);
  while (start_inline || stream_.skip_operator("|")) {
    start_inline = false;
    ExprPtr filter = make(ExprKind::kFilter, stream_.line());
    filter->name = stream_.expect_name();
    while (stream_.skip_operator(".")) filter->name += "." + stream_.expect_name();
    filter->filter = find_filter(filter->name);
    if (filter->filter == nullptr && conditional_depth == 0) {
      stream_.refuse("there is no filter named '" + filter->name.substr(0, 60) + "'");
    }
    adopt(*filter, std::move(node));
    adopt_arguments(
        *filter, stream_.is_operator("(") ? parse_arguments() : std::make_unique<ArgumentList>());
    node = std::move(filter);
  }
  return node;
}

ExprPtr ExpressionParser::parse_test(ExprPtr subject) {
  ExprPtr node = make(ExprKind::kTest, stream_.next().line);
  const bool negated = stream_.skip_name("not");
  node->name = stream_.expect_name();
  while (stream_.skip_operator(".")) node->name += "." + stream_.expect_name();
  node->test = find_test(node->name);
  if (node->test == nullptr && conditional_depth == 0) {
    stream_.refuse("there is no test named '" + node->name.substr(0, 60) + "'");
  }
  adopt(*node, std::move(subject));
  auto arguments = std::make_unique<ArgumentList>();
  const bool starts_operand = stream_.is(TokenKind::kName) || stream_.is(TokenKind::kString) ||
                              stream_.is(TokenKind::kInteger) || stream_.is(TokenKind::kFloat) ||
                              stream_.is_operator("[") || stream_.is_operator("{");
  if (stream_.is_operator("(")) {
    arguments = parse_arguments();
  } else if (stream_.is_name("is")) {
    stream_.refuse("tests cannot be chained with 'is'");
  } else if (starts_operand && !stream_.is_name("else") && !stream_.is_name("or") &&
             !stream_.is_name("and")) {
    arguments->positional.push_back(parse_postfix(parse_primary()));
  }
  adopt_arguments(*node, std::move(arguments));
  if (!negated) return node;
  ExprPtr inverse = make(ExprKind::kNot, node->line);
  adopt(*inverse, std::move(node));
  return inverse;
}

}  // namespace quern::chat
