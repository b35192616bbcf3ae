// A client that sends exactly the bytes it is told to, for tests of the HTTP server.
//
// Every wait is bounded; a test that hangs fails instead.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace quern::tests {

struct RawResponse {
  int status = 0;  // 0: no complete response
  std::string head;
  std::string body;  // chunks joined
  bool complete = false;
  bool chunked = false;

  // Value of a header (names compare without case), or "".
  std::string header(std::string_view name) const;
};

class RawClient {
 public:
  explicit RawClient(int port, int receive_buffer = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  // False when the server has closed.
  bool send(std::string_view bytes);
  // One byte per packet.
  bool send_slowly(std::string_view bytes);
  void half_close();
  // Closes with a reset.
  void reset();
  void close();

  // Reads one response; interim 1xx ones are skipped and counted.
  RawResponse read_response(std::chrono::milliseconds timeout = std::chrono::seconds(5),
                            bool head_only = false);
  // Whether the server closes within the time, reading what comes.
  bool closed_within(std::chrono::milliseconds timeout);
  int interim_responses() const { return interim_; }

 private:
  bool fill(std::chrono::steady_clock::time_point deadline);

  int fd_ = -1;
  std::string buffer_;
  int interim_ = 0;
};

// One request on a connection of its own.
RawResponse fetch(int port, std::string_view request);
// "POST path" with a JSON body and a Host header.
RawResponse post_json(int port, const std::string& path, const std::string& body,
                      const std::string& headers = "");
RawResponse get(int port, const std::string& path, const std::string& headers = "");

}  // namespace quern::tests
