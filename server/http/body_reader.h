// Reads the body of a request, of known length or chunked, within the limits.
//
// Source: RFC 9112 sections 6 and 7.1. Chunk extensions and trailers are checked for form and
// dropped.
#pragma once

#include <optional>
#include <string>

#include "server/http/head_parser.h"
#include "server/http/limits.h"
#include "server/http/socket.h"

namespace quern::http {

enum class BodyState { kComplete, kFault, kGone };

// Takes the body of `head` from `buffer` (bytes already received behind the head) and `fd`. What
// follows the body stays in `buffer`.
BodyState read_body(int fd, const RequestHead& head, const Limits& limits, std::string& buffer,
                    std::string& body, Fault& fault);

// Decodes chunks as they arrive; no I/O.
class ChunkDecoder {
 public:
  explicit ChunkDecoder(const Limits& limits) : limits_(limits) {}
  // Consumes from the front of `buffer` and appends data to `body`. Afterwards either done(), or
  // more input is needed, or there is a fault.
  std::optional<Fault> feed(std::string& buffer, std::string& body);
  bool done() const { return state_ == State::kDone; }

 private:
  enum class State { kSize, kData, kDataEnd, kTrailer, kDone };
  std::optional<Fault> take_line(std::string_view line);
  std::optional<Fault> take_size(std::string_view line);

  const Limits& limits_;
  State state_ = State::kSize;
  size_t left_ = 0;      // bytes of the present chunk still to come
  size_t overhead_ = 0;  // bytes of extensions and trailers so far
  size_t total_ = 0;
};

}  // namespace quern::http
