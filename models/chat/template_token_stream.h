// A cursor over the tokens of a template, and the names the parser has met.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "models/chat/template_lexer.h"
#include "models/chat/template_runtime.h"

namespace quern::chat {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  int line() const { return current().line; }

  bool is(TokenKind kind) const { return current().kind == kind; }
  bool is_name(std::string_view name) const {
    return current().kind == TokenKind::kName && current().text == name;
  }
  bool is_operator(std::string_view text) const {
    return current().kind == TokenKind::kOperator && current().text == text;
  }
  // Returns the current token and moves on; stays at the end.
  Token next() {
    Token token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool skip_name(std::string_view name) { return skip(is_name(name)); }
  bool skip_operator(std::string_view text) { return skip(is_operator(text)); }
  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) refuse_expecting("'" + std::string(text) + "'");
  }
  void expect(TokenKind kind, std::string_view what) {
    if (!is(kind)) refuse_expecting(what);
    next();
  }
  std::string expect_name() {
    if (!is(TokenKind::kName)) refuse_expecting("a name");
    return next().text;
  }

  [[noreturn]] void refuse(std::string message) const {
    throw TemplateError{std::move(message), line()};
  }
  [[noreturn]] void refuse_expecting(std::string_view what) const {
    refuse("expected " + std::string(what) + ", found " + describe());
  }

 private:
  bool skip(bool matches) {
    if (matches) next();
    return matches;
  }
  std::string describe() const {
    switch (current().kind) {
      case TokenKind::kData:
        return "template text";
      case TokenKind::kVariableBegin:
        return "'{{'";
      case TokenKind::kVariableEnd:
        return "'}}'";
      case TokenKind::kBlockBegin:
        return "'{%'";
      case TokenKind::kBlockEnd:
        return "'%}'";
      case TokenKind::kEnd:
        return "the end of the template";
      case TokenKind::kInteger:
      case TokenKind::kFloat:
        return "a number";
      case TokenKind::kString:
        return "a string";
      default:
        return "'" + current().text.substr(0, 60) + "'";
    }
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
};

// Variables by number, so that scopes compare integers.
class SymbolTable {
 public:
  SymbolTable() {
    for (const char* name : {"", "loop", "caller", "varargs", "kwargs"}) intern(name);
  }
  int intern(const std::string& name) {
    const auto [it, added] = numbers_.emplace(name, static_cast<int>(names_.size()));
    if (added) names_.push_back(name);
    return it->second;
  }
  std::vector<std::string> take_names() { return std::move(names_); }
  std::unordered_map<std::string, int> take_numbers() { return std::move(numbers_); }

 private:
  std::unordered_map<std::string, int> numbers_;
  std::vector<std::string> names_;
};

// Counts nesting for as long as it lives.
class NestingGuard {
 public:
  NestingGuard(int& depth, const TokenStream& stream) : depth_(depth) {
    if (++depth_ > TemplateLimits::kParseDepth) {
      --depth_;
      stream.refuse("statements and brackets are nested deeper than " +
                    std::to_string(TemplateLimits::kParseDepth));
    }
  }
  ~NestingGuard() { --depth_; }
  NestingGuard(const NestingGuard&) = delete;
  NestingGuard& operator=(const NestingGuard&) = delete;

 private:
  int& depth_;
};

}  // namespace quern::chat
