// The HTTP library (cpp-httplib), wrapped: writes final responses. Its only place in the program.
//
// The library gets a request that the strict parser has accepted, spelled anew, and a stream of
// memory instead of a socket; it does the status line, the header block, lengths, HEAD, chunks and
// connection headers. Sockets, deadlines and everything a client sent stay on this side of it.
// Source: RFC 9112 sections 4 to 7.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "server/http/message.h"

namespace quern::http {

// What of a request decides the form of its answer.
struct AnswerForm {
  std::string method = "GET";
  std::string path = "/";
  std::string host;
  bool version_1_0 = false;
  bool keep_alive = false;  // whether the connection stays open afterwards
};

// Takes bytes of the answer; false when they could not be sent, which ends the answer.
using ByteSink = std::function<bool(std::string_view bytes)>;

// Writes `response` with its length. True when all of it has been taken by `sink`.
bool write_answer(const AnswerForm& form, const Response& response, const ByteSink& sink);

// Writes the headers of `head` and what `body` produces: in chunks, or, for HTTP/1.0, up to the end
// of the connection. True when `body` was whole and all of it has been taken.
bool write_stream(const AnswerForm& form, const Response& head, const StreamBody& body,
                  const ByteSink& sink);

}  // namespace quern::http
