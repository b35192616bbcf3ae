// An error on its way to a client, before it takes the form of a dialect.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace quern::api {

struct ApiError {
  int status = 400;
  std::string message;
  std::string param;      // the request field at fault, or empty
  std::string code;       // machine-readable reason where a dialect has one, or empty
  int retry_after_s = 1;  // of 429 and 503
  // Of context_length_exceeded, where both are known.
  int64_t n_prompt_tokens = 0;
  int64_t n_context = 0;
};
using MaybeError = std::optional<ApiError>;

// A wrong or unsupported field: 400. `field` is a path such as "messages[2].content".
ApiError field_error(std::string_view field, std::string message);
// From the engine or a parser; the status follows the kind.
ApiError from_error(const Error& error);
// What was refused as busy is so because of this key's own requests: 429.
void blame_key(ApiError& error);
// The model name is not served here: 404.
ApiError unknown_model(std::string_view name);

}  // namespace quern::api
