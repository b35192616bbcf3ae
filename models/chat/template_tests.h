// The tests of "x is name(...)".
#pragma once

#include <string_view>

#include "models/chat/template_runtime.h"

namespace quern::chat {

struct TestRow {
  std::string_view name;
  bool (*holds)(Runtime& runtime, const Value& subject, const Arguments& arguments);
};

// The test with that name, or null.
const TestRow* find_test(std::string_view name);

}  // namespace quern::chat
