// Arguments of a call put in the places of a signature.
#pragma once

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "models/chat/template_runtime.h"

namespace quern::chat {

class BoundArguments {
 public:
  // Fails on too many, unknown, doubled, or fewer than `required` arguments. `what` names the
  // callee in messages. The arguments must outlive this.
  BoundArguments(std::string_view what, const Arguments& arguments,
                 std::initializer_list<std::string_view> names, size_t required);

  // The argument or null if it was not given.
  const Value* operator[](size_t index) const { return values_[index]; }
  // Typed reads with defaults; fail on another type.
  int64_t integer(size_t index, int64_t otherwise) const;
  bool boolean(size_t index, bool otherwise) const;  // any value, by its truth
  const Text& text(size_t index) const;              // precondition: given
  const Text* text_or_null(size_t index) const;      // null also for none
  std::string string(size_t index, std::string_view otherwise) const;

 private:
  [[noreturn]] void refuse(size_t index, std::string_view wanted) const;

  std::string_view what_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;
};

}  // namespace quern::chat
