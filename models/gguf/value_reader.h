// Reads one metadata value, scalar or array, into a Value.
#pragma once

#include "config/base/result.h"
#include "models/gguf/cursor.h"
#include "models/gguf/metadata.h"

namespace quern::gguf {

// The kind code and the value behind it. Errors: unknown kind, nested array, a count that cannot
// fit what remains, a bool other than 0 and 1, a length over the limit.
Result<Value> read_value(Cursor& cursor);

}  // namespace quern::gguf
