// Errors as values: Result<T> carries a value or an Error, Status carries nothing or an Error.
//
// An Error is for the outside world (file, request, memory, device). Its message is one sentence
// that says what went wrong, where, what was expected and what to do next. Programmer errors are
// CHECKs (config/base/check.h), never Errors. No exception crosses a folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "config/base/check.h"

namespace quern {

// What kind of trouble it is; front doors map it to an HTTP status or an exit code.
enum class ErrorKind {
  kInvalidInput,     // the caller's data or parameters are wrong: HTTP 400, exit 1
  kUnsupported,      // well-formed but nothing here can handle it: HTTP 400/501
  kNotFound,         // a named thing does not exist: HTTP 404
  kContextOverflow,  // more tokens than the context holds: HTTP 400 with both counts
  kOutOfMemory,      // a budget or the machine is exhausted: HTTP 503
  kBusy,             // a queue is full or the server drains: HTTP 503 with Retry-After
  kIo,               // reading, writing or mapping failed: HTTP 500
  kCancelled,        // a normal outcome: the client went away
  kInternal,         // our own mistake that was caught: HTTP 500
};

// Name of a kind in lower_snake_case, for logs and JSON.
std::string_view error_kind_name(ErrorKind kind);

class Error {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }

  // The same error seen from further out: `context` and ": " are put before the message.
  Error with_context(std::string_view context) const {
    std::string text;
    text.reserve(context.size() + 2 + message_.size());
    text.append(context).append(": ").append(message_);
    return Error(kind_, std::move(text));
  }

 private:
  ErrorKind kind_;
  std::string message_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Precondition: ok().
  T& value() & {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // Precondition: !ok().
  const Error& error() const {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  // Precondition: !ok().
  const Error& error() const {
    CHECK(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

inline Status ok_status() { return Status(); }

}  // namespace quern

#define QUERN_CONCAT_INNER(a, b) a##b
#define QUERN_CONCAT(a, b) QUERN_CONCAT_INNER(a, b)

// Leaves the current function with the error of `expr` (a Status or Result) if it has one.
#define QUERN_RETURN_IF_ERROR(expr)                                                  \
  do {                                                                               \
    if (auto quern_status = (expr); !quern_status.ok()) return quern_status.error(); \
  } while (false)

// QUERN_ASSIGN_OR_RETURN(auto x, f()): declares x from a Result's value or returns its error.
#define QUERN_ASSIGN_OR_RETURN(lhs, expr) \
  QUERN_ASSIGN_OR_RETURN_INNER(QUERN_CONCAT(quern_result_, __LINE__), lhs, expr)
#define QUERN_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) return tmp.error();                 \
  lhs = std::move(tmp).value()
