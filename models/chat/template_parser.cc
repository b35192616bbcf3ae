// The statement grammar of jinja2.parser; see template_parser.h.
#include "models/chat/template_parser.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "models/chat/template_expression_parser.h"
#include "models/chat/template_runtime.h"
#include "models/chat/template_token_stream.h"

namespace quern::chat {
namespace {

using Names = std::initializer_list<std::string_view>;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens)
      : stream_(std::move(tokens)), expressions_(stream_, symbols_) {}

  std::unique_ptr<const TemplateTree> run() {
    auto tree = std::make_unique<TemplateTree>();
    tree->body = parse_block({});
    tree->symbols = symbols_.take_names();
    tree->symbol_numbers = symbols_.take_numbers();
    return tree;
  }

 private:
  static StmtPtr make(StmtKind kind, int line) {
    auto statement = std::make_unique<Stmt>();
    statement->kind = kind;
    statement->line = line;
    return statement;
  }

  bool at_any(Names names) const {
    return std::any_of(names.begin(), names.end(),
                       [&](std::string_view name) { return stream_.is_name(name); });
  }

  // Statements up to "{% name" for one of `ends`, which is left to be read; with no ends, up to the
  // end of the template.
  Block parse_block(Names ends) {
    const NestingGuard guard(expressions_.nesting, stream_);
    Block block;
    while (!stream_.is(TokenKind::kEnd)) {
      const int line = stream_.line();
      if (stream_.is(TokenKind::kData)) {
        StmtPtr text = make(StmtKind::kText, line);
        text->text = stream_.next().text;
        block.push_back(std::move(text));
      } else if (stream_.is(TokenKind::kVariableBegin)) {
        stream_.next();
        StmtPtr output = make(StmtKind::kOutput, line);
        output->values.push_back(expressions_.parse_tuple());
        stream_.expect(TokenKind::kVariableEnd, "'}}'");
        block.push_back(std::move(output));
      } else {
        stream_.expect(TokenKind::kBlockBegin, "'{%'");
        if (at_any(ends)) return block;
        block.push_back(parse_statement(ends));
        stream_.expect(TokenKind::kBlockEnd, "'%}'");
      }
    }
    if (ends.size() > 0) {
      stream_.refuse("a block is not closed: expected {% " + std::string(*std::prev(ends.end())) +
                     " %} before the end of the template");
    }
    return block;
  }

  // The body of a statement, up to and including the name of its end tag.
  Block parse_body(std::string_view end) {
    open_body();
    Block block = parse_block({end});
    stream_.next();
    return block;
  }

  void open_body() {
    stream_.skip_operator(":");
    stream_.expect(TokenKind::kBlockEnd, "'%}'");
  }

  StmtPtr parse_statement(Names ends) {
    const int line = stream_.line();
    if (!stream_.is(TokenKind::kName)) stream_.refuse_expecting("the name of a tag");
    const std::string name = stream_.current().text;
    if (name == "if") return parse_if();
    if (name == "for") return parse_for();
    if (name == "set") return parse_set();
    if (name == "macro") return parse_macro();
    if (name == "call") return parse_call();
    if (name == "filter") return parse_filter();
    if (name == "with") return parse_with();
    if (name == "generation") return parse_scope("endgeneration");
    if (name == "block") return parse_named_block();
    if (name == "print") return parse_print();
    if (name == "break" || name == "continue") {
      if (loops_ == 0) stream_.refuse("{% " + name + " %} stands outside of a loop");
      stream_.next();
      return make(name == "break" ? StmtKind::kBreak : StmtKind::kContinue, line);
    }
    for (const char* word : {"include", "import", "from", "extends", "autoescape"}) {
      if (name == word) {
        throw TemplateError{"{% " + name + " %} is not supported in chat templates", line, true};
      }
    }
    std::string message = "unknown tag {% " + name.substr(0, 60) + " %}";
    if (ends.size() > 0) message += ", expected {% " + std::string(*std::prev(ends.end())) + " %}";
    stream_.refuse(std::move(message));
  }

  StmtPtr parse_if() {
    StmtPtr node = make(StmtKind::kIf, stream_.next().line);
    ++expressions_.conditional_depth;
    for (;;) {
      node->values.push_back(expressions_.parse_tuple(false));
      open_body();
      node->branches.push_back(parse_block({"elif", "else", "endif"}));
      const bool otherwise = stream_.is_name("else");
      const bool again = stream_.is_name("elif");
      stream_.next();
      if (again) continue;
      if (otherwise) node->branches.push_back(parse_body("endif"));
      break;
    }
    --expressions_.conditional_depth;
    return node;
  }

  StmtPtr parse_for() {
    StmtPtr node = make(StmtKind::kFor, stream_.next().line);
    node->target = expressions_.parse_target("in", false);
    if (!stream_.skip_name("in")) stream_.refuse_expecting("'in'");
    node->values.push_back(expressions_.parse_tuple(false, "recursive"));
    node->values.push_back(stream_.skip_name("if") ? expressions_.parse_expression() : nullptr);
    if (stream_.is_name("recursive")) {
      throw TemplateError{"recursive loops are not supported in chat templates", node->line, true};
    }
    open_body();
    ++loops_;
    node->branches.push_back(parse_block({"else", "endfor"}));
    --loops_;
    const bool otherwise = stream_.is_name("else");
    stream_.next();
    if (otherwise) node->branches.push_back(parse_body("endfor"));
    return node;
  }

  StmtPtr parse_set() {
    StmtPtr node = make(StmtKind::kSet, stream_.next().line);
    node->target = expressions_.parse_target({}, true);
    if (stream_.skip_operator("=")) {
      node->values.push_back(expressions_.parse_tuple());
      return node;
    }
    node->kind = StmtKind::kSetBlock;
    node->values.push_back(stream_.is_operator("|") ? expressions_.parse_filters(block_input())
                                                    : nullptr);
    node->branches.push_back(parse_body("endset"));
    return node;
  }

  ExprPtr block_input() const {
    auto input = std::make_unique<Expr>();
    input->kind = ExprKind::kName;
    input->line = stream_.line();
    input->symbol = kBlockInputSymbol;
    return input;
  }

  void parse_signature(MacroParts& macro) {
    stream_.expect_operator("(");
    while (!stream_.is_operator(")")) {
      const std::string name = stream_.expect_name();
      macro.parameters.emplace_back(name, symbols_.intern(name));
      if (stream_.skip_operator("=")) {
        macro.defaults.push_back(expressions_.parse_expression());
      } else if (!macro.defaults.empty()) {
        stream_.refuse("a parameter without default follows one with a default");
      }
      if (!stream_.skip_operator(",")) break;
    }
    stream_.expect_operator(")");
  }

  void parse_macro_body(MacroParts& macro, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    const bool caller = std::exchange(expressions_.saw_caller, false);
    const bool varargs = std::exchange(expressions_.saw_varargs, false);
    const bool kwargs = std::exchange(expressions_.saw_kwargs, false);
    macro.body = parse_body(end);
    macro.uses_caller = std::exchange(expressions_.saw_caller, caller);
    macro.uses_varargs = std::exchange(expressions_.saw_varargs, varargs);
    macro.uses_kwargs = std::exchange(expressions_.saw_kwargs, kwargs);
    loops_ = loops;
  }

  StmtPtr parse_macro() {
    StmtPtr node = make(StmtKind::kMacro, stream_.next().line);
    node->macro = std::make_unique<MacroParts>();
    node->macro->name = stream_.expect_name();
    node->macro->symbol = symbols_.intern(node->macro->name);
    parse_signature(*node->macro);
    parse_macro_body(*node->macro, "endmacro");
    return node;
  }

  StmtPtr parse_call() {
    StmtPtr node = make(StmtKind::kCallBlock, stream_.next().line);
    node->macro = std::make_unique<MacroParts>();
    node->macro->name = "caller";
    if (stream_.is_operator("(")) parse_signature(*node->macro);
    node->values.push_back(expressions_.parse_expression());
    if (node->values[0]->kind != ExprKind::kCall) stream_.refuse("{% call %} needs a call");
    parse_macro_body(*node->macro, "endcall");
    return node;
  }

  StmtPtr parse_filter() {
    StmtPtr node = make(StmtKind::kFilterBlock, stream_.next().line);
    node->values.push_back(expressions_.parse_filters(block_input(), true));
    node->branches.push_back(parse_body("endfilter"));
    return node;
  }

  StmtPtr parse_with() {
    StmtPtr node = make(StmtKind::kWith, stream_.next().line);
    while (!stream_.is(TokenKind::kBlockEnd)) {
      if (!node->values.empty()) stream_.expect_operator(",");
      node->values.push_back(expressions_.parse_target({}, false));
      stream_.expect_operator("=");
      node->values.push_back(expressions_.parse_expression());
    }
    node->branches.push_back(parse_body("endwith"));
    return node;
  }

  StmtPtr parse_scope(std::string_view end) {
    StmtPtr node = make(StmtKind::kScope, stream_.next().line);
    node->branches.push_back(parse_body(end));
    return node;
  }

  StmtPtr parse_named_block() {
    StmtPtr node = make(StmtKind::kScope, stream_.next().line);
    const std::string name = stream_.expect_name();
    stream_.skip_name("scoped");
    node->branches.push_back(parse_body("endblock"));
    stream_.skip_name(name);
    return node;
  }

  StmtPtr parse_print() {
    StmtPtr node = make(StmtKind::kOutput, stream_.next().line);
    while (!stream_.is(TokenKind::kBlockEnd)) {
      if (!node->values.empty()) stream_.expect_operator(",");
      node->values.push_back(expressions_.parse_expression());
    }
    return node;
  }

  TokenStream stream_;
  SymbolTable symbols_;
  ExpressionParser expressions_;
  int loops_ = 0;  // loops around the current statement, inside the current macro
};

}  // namespace

std::unique_ptr<const TemplateTree> parse_template(std::string_view source) {
  if (source.size() > TemplateLimits::kSourceBytes) {
    fail("the source has " + std::to_string(source.size()) + " bytes, more than the limit of " +
         std::to_string(TemplateLimits::kSourceBytes));
  }
  return Parser(lex_template(source)).run();
}

}  // namespace quern::chat
