// Requests and responses as plain values, and the interface through which a handler answers.
//
// Knows no socket and no application. Header names are kept in lower case; a Request that reaches a
// handler has passed the strict parser, the access checks and the body limits.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace quern::http {

struct Header {
  std::string name;
  std::string value;
};
using Headers = std::vector<Header>;

struct Request {
  std::string method;
  std::string path;       // as sent, without query; not decoded
  std::string query;      // without "?"
  std::string path_rest;  // what "*" matched in the route's pattern, percent-decoded
  Headers headers;
  std::string body;
  std::string id;        // the client's x-request-id if it is harmless, else made here
  std::string peer;      // address of the client, for logs
  size_t key_index = 0;  // which of the API keys it carries, when keys are needed

  // First value of a header (name in lower case), or null.
  const std::string* header(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  Headers headers;  // further ones; control characters in values are replaced
};

// What a handler says about a request for the log: a name of its own and a value.
using NoteValue = std::variant<std::string, int64_t, double>;
struct Note {
  std::string name;
  NoteValue value;
};

// Sends a piece of a stream at once. False when the client is gone; the body should then return.
using StreamWrite = std::function<bool(std::string_view piece)>;
// Produces a stream. True: it is whole. False: it breaks off, which the client sees as a missing
// terminator and a closed connection; an exception does the same.
using StreamBody = std::function<bool(const StreamWrite& write)>;

// One request being answered, on the thread that reads its connection. Exactly one answer: send()
// or stream(). A handler that returns without answering makes the connection close (the client went
// away) or, if it is still there, a 500.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const Request& request() const = 0;
  virtual void send(const Response& response) = 0;
  // An answer of unknown length: status and headers of `head` (its body is ignored), then what
  // `body` writes. Runs `body` once and returns when it has; not at all for HEAD.
  virtual void stream(const Response& head, const StreamBody& body) = 0;
  // Whether the client has gone away, looked up now without waiting; also inside a stream's body.
  virtual bool client_gone() = 0;
  // A fact for this request's line of the log. Later ones of the same name replace earlier ones.
  virtual void note(std::string_view name, NoteValue value) = 0;
};

// Case-insensitive comparison of ASCII text.
bool equals_ignoring_case(std::string_view a, std::string_view b);
std::string to_lower(std::string_view text);
// Without spaces and tabs at both ends.
std::string_view trim(std::string_view text);
// "%41" to "A", once. False for a broken escape or an escaped NUL.
bool percent_decode(std::string_view text, std::string& out);

}  // namespace quern::http
