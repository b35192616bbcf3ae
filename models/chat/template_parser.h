// Tokens of a chat template to its syntax tree.
//
// The grammar is jinja2.parser's, without template inheritance and imports. Nesting is counted, so
// no source can exhaust the stack.
#pragma once

#include <memory>
#include <string_view>

#include "models/chat/template_ast.h"

namespace quern::chat {

// Throws TemplateError with its line.
std::unique_ptr<const TemplateTree> parse_template(std::string_view source);

}  // namespace quern::chat
