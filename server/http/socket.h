// Sockets: listening, and reading and writing with deadlines. With dial.h, which connects, the only
// place with socket calls.
//
// Every connection is non-blocking; waiting happens in poll with a bound. Nothing raises SIGPIPE.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/base/result.h"

namespace quern::http {

using Clock = std::chrono::steady_clock;

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

struct Listener {
  Fd fd;
  std::string address;  // "127.0.0.1:8080", "[::1]:8080"
};

// Listens on `host` ("localhost": both loopback addresses as far as the machine has them; a name,
// an IPv4 or an IPv6 address) and `port` (0: any free one, the same on all addresses). Errors: port
// taken, no permission, unknown name; each says what to do.
Result<std::vector<Listener>> listen_on(const std::string& host, int port, int backlog);
// Port of a listening socket.
int bound_port(const Fd& listener);
// Whether every address that `host` stands for is a loopback address.
bool is_loopback_host(const std::string& host);

enum class IoState { kOk, kTimeout, kClosed };

// Appends what is there, at most `most` bytes, waiting until `deadline`. kClosed: end or error.
IoState receive(int fd, std::string& into, size_t most, Clock::time_point deadline);
// Sends everything. kTimeout: the peer took nothing for `stall`.
IoState send_all(int fd, std::string_view bytes, std::chrono::milliseconds stall);
// Sends what the kernel takes without waiting; the number of bytes.
size_t send_some(int fd, std::string_view bytes);
// Sends each piece at once instead of waiting for more (RFC 896), as streams need.
void send_without_delay(int fd);
// State of the peer, without waiting. kHalfClosed: it will send nothing more but may still read.
enum class PeerState { kOpen, kHalfClosed, kGone };
PeerState peer_state(int fd);
// Numeric address of the peer, or "unknown".
std::string peer_address(int fd);

}  // namespace quern::http
