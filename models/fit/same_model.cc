#include "models/fit/same_model.h"

#include <string_view>

#include "models/gguf/name_rules.h"

namespace quern::fit {
namespace {

using gguf::GgufFile;
using gguf::TensorInfo;
using gguf::Value;

std::string text_of(const Value* value) {
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? "absent" : "'" + gguf::printable(*text) + "'";
}

// Of a key that is a string: both values are told.
std::optional<std::string> text_difference(const GgufFile& one, const GgufFile& other,
                                           std::string_view key) {
  const Value* a = one.metadata().find(key);
  const Value* b = other.metadata().find(key);
  const bool equal = a != nullptr && b != nullptr ? *a == *b : a == b;
  if (equal) return std::nullopt;
  return std::string(key) + " is " + text_of(a) + " in one and " + text_of(b) + " in the other";
}

// Of keys that begin with `prefix` in `one`: the first that `other` lacks or has another value for.
std::optional<std::string> key_difference(const GgufFile& one, const GgufFile& other,
                                          std::string_view prefix) {
  for (const auto& [key, value] : one.metadata().entries()) {
    if (!key.starts_with(prefix)) continue;
    const Value* there = other.metadata().find(key);
    if (there != nullptr && *there == value) continue;
    return "key '" + gguf::printable(key) + "' differs";
  }
  return std::nullopt;
}

std::optional<std::string> tensor_difference(const GgufFile& one, const GgufFile& other) {
  for (const TensorInfo& tensor : one.tensors()) {
    const TensorInfo* there = other.find_tensor(tensor.name);
    if (there != nullptr && there->dims == tensor.dims) continue;
    return "tensor '" + gguf::printable(tensor.name) + "' is " +
           (there == nullptr ? "in one only" : "of different shapes");
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> model_difference(const GgufFile& one, const GgufFile& other) {
  if (auto found = text_difference(one, other, "general.architecture")) return found;
  const bool both_named =
      one.metadata().contains("general.name") && other.metadata().contains("general.name");
  if (both_named) {
    if (auto found = text_difference(one, other, "general.name")) return found;
  }
  const auto architecture = one.metadata().get_string("general.architecture");
  if (!architecture.ok()) return architecture.error().message();
  for (const bool swapped : {false, true}) {
    const GgufFile& a = swapped ? other : one;
    const GgufFile& b = swapped ? one : other;
    if (auto found = key_difference(a, b, std::string(*architecture) + ".")) return found;
    if (auto found = key_difference(a, b, "tokenizer.ggml.tokens")) return found;
    if (auto found = tensor_difference(a, b)) return found;
  }
  return std::nullopt;
}

}  // namespace quern::fit
