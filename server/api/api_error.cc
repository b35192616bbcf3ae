// Kinds of errors to HTTP statuses: the one place.
#include "server/api/api_error.h"

namespace quern::api {
namespace {

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidInput:
    case ErrorKind::kUnsupported:
    case ErrorKind::kContextOverflow:
      return 400;
    case ErrorKind::kNotFound:
      return 404;
    case ErrorKind::kOutOfMemory:
    case ErrorKind::kBusy:
      return 503;
    case ErrorKind::kIo:
    case ErrorKind::kCancelled:
    case ErrorKind::kInternal:
      return 500;
  }
  return 500;
}

}  // namespace

ApiError field_error(std::string_view field, std::string message) {
  return ApiError{400, std::move(message), std::string(field), ""};
}

ApiError from_error(const Error& error) {
  ApiError out{status_of(error.kind()), error.message(), "", ""};
  if (error.kind() == ErrorKind::kContextOverflow) out.code = "context_length_exceeded";
  return out;
}

void blame_key(ApiError& error) {
  error.status = 429;
  error.code = "rate_limit_exceeded";
}

ApiError unknown_model(std::string_view name) {
  // What a client sent is echoed only as far as it is short.
  const std::string shown(name.substr(0, 200));
  return ApiError{404, "model '" + shown + "' not found", "model", "model_not_found"};
}

}  // namespace quern::api
