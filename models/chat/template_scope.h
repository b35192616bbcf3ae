// Variables of a rendering, found from the innermost scope outwards.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "models/chat/template_value.h"

namespace quern::chat {

// Scopes form a tree; a macro keeps the scope it was defined in. The outermost scope is `dense`:
// one slot for each symbol of the template.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<int, Value>> variables;
  std::vector<std::pair<bool, Value>> dense;  // whether set, and the value; outermost scope only

  void set(int symbol, Value value) {
    if (parent == nullptr) {
      dense[static_cast<size_t>(symbol)] = {true, std::move(value)};
      return;
    }
    for (auto& [held, old] : variables) {
      if (held != symbol) continue;
      old = std::move(value);
      return;
    }
    variables.emplace_back(symbol, std::move(value));
  }

  // The variable or null. Adds to `looked_at` how many variables were compared.
  const Value* find(int symbol, size_t& looked_at) const {
    const Scope* scope = this;
    for (; scope->parent != nullptr; scope = scope->parent.get()) {
      looked_at += 1 + scope->variables.size();
      for (const auto& [held, value] : scope->variables) {
        if (held == symbol) return &value;
      }
    }
    const auto& [is_set, value] = scope->dense[static_cast<size_t>(symbol)];
    return is_set ? &value : nullptr;
  }
};

using ScopeRef = std::shared_ptr<Scope>;

}  // namespace quern::chat
