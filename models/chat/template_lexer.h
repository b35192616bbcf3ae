// Source text of a chat template to tokens, with Jinja's whitespace control.
//
// Follows jinja2.lexer with trim_blocks and lstrip_blocks on and keep_trailing_newline off. Knows
// nothing about statements. One pass, linear time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern::chat {

enum class TokenKind {
  kData,           // text: template text between tags
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,      // text
  kString,    // text, unescaped
  kInteger,   // integer
  kFloat,     // number
  kOperator,  // text
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;
  int64_t integer = 0;
  double number = 0;
};

// Throws TemplateError with its line.
std::vector<Token> lex_template(std::string_view source);

}  // namespace quern::chat
