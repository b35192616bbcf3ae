// The functions that every template can call: range, namespace, dict, cycler, joiner,
// raise_exception, strftime_now.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/chat/template_runtime.h"

namespace quern::chat {

// An object whose attributes templates may set: namespace(...).
class Namespace final : public Object {
 public:
  std::string_view type_name() const override { return "jinja2.utils.Namespace"; }
  bool attribute(Runtime& runtime, std::string_view name, Value& out) override;
  void set(Runtime& runtime, std::string_view name, Value value);

 private:
  std::vector<std::pair<std::string, Value>> attributes_;
};

// Name and value of each global function.
std::vector<std::pair<std::string_view, Value>> global_functions(Runtime& runtime);

}  // namespace quern::chat
