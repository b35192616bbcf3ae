// Binding of arguments; see template_arguments.h.
#include "models/chat/template_arguments.h"

#include <algorithm>

#include "models/chat/template_operators.h"

namespace quern::chat {

BoundArguments::BoundArguments(std::string_view what, const Arguments& arguments,
                               std::initializer_list<std::string_view> names, size_t required)
    : what_(what), names_(names), values_(names.size(), nullptr) {
  if (arguments.positional.size() > names_.size()) {
    fail(std::string(what) + " takes at most " + std::to_string(names_.size()) +
         " arguments, not " + std::to_string(arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    const auto at = static_cast<size_t>(found - names_.begin());
    if (found == names_.end() || values_[at] != nullptr) {
      fail(std::string(what) + " cannot take the argument '" + name.substr(0, 60) + "'" +
           (found == names_.end() ? "" : " twice"));
    }
    values_[at] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i] == nullptr) {
      fail(std::string(what) + " misses the argument '" + std::string(names_[i]) + "'");
    }
  }
}

void BoundArguments::refuse(size_t index, std::string_view wanted) const {
  if (values_[index]->is_undefined()) fail(values_[index]->undefined_message());
  fail("the argument '" + std::string(names_[index]) + "' of " + std::string(what_) + " must be " +
       std::string(wanted) + ", not " + std::string(type_name(*values_[index])));
}

int64_t BoundArguments::integer(size_t index, int64_t otherwise) const {
  if (values_[index] == nullptr) return otherwise;
  int64_t storage = 0;
  const int64_t* value = integer_of(*values_[index], storage);
  if (value == nullptr) refuse(index, "an integer");
  return *value;
}

bool BoundArguments::boolean(size_t index, bool otherwise) const {
  return values_[index] == nullptr ? otherwise : truthy(*values_[index]);
}

const Text& BoundArguments::text(size_t index) const {
  const Text* text = values_[index]->as_text();
  if (text == nullptr) refuse(index, "a string");
  return *text;
}

const Text* BoundArguments::text_or_null(size_t index) const {
  if (values_[index] == nullptr || values_[index]->is_none()) return nullptr;
  return &text(index);
}

std::string BoundArguments::string(size_t index, std::string_view otherwise) const {
  const Text* text = text_or_null(index);
  return text == nullptr ? std::string(otherwise) : text->bytes;
}

}  // namespace quern::chat
