// POSIX sockets behind the interface of socket.h.
#include "server/http/socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace quern::http {
namespace {

int remaining_ms(Clock::time_point deadline) {
  const auto now = Clock::now();
  if (deadline <= now)
    return 0;  // time_point::min() stands for "do not wait": not to be subtracted
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  return static_cast<int>(std::min<long long>(left, 3'600'000));
}

std::string numeric_address(const sockaddr_storage& storage, bool with_port) {
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &storage, sizeof(v4));
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    return with_port ? std::string(text) + ":" + std::to_string(ntohs(v4.sin_port)) : text;
  }
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &storage, sizeof(v6));
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
    return with_port ? "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port)) : text;
  }
  return "unknown";
}

struct AddressListDeleter {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, AddressListDeleter>;

AddressList resolve(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) return nullptr;
  return AddressList(list);
}

// The listening socket, or the errno of the step that failed.
Result<Listener> listen_at(const addrinfo& address, int backlog, int& error) {
  Fd fd(socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  bool ok = fd.valid() && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0;
  if (ok && address.ai_family == AF_INET6) {
    ok = setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0;
  }
  ok = ok && bind(fd.get(), address.ai_addr, address.ai_addrlen) == 0 &&
       listen(fd.get(), backlog) == 0;
  error = ok ? 0 : errno;
  if (!ok) return Error(ErrorKind::kIo, "not bound");
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  return Listener{std::move(fd), numeric_address(bound, true)};
}

Error bind_error(const std::string& host, int port, int error) {
  const std::string where = host + ":" + std::to_string(port);
  if (error == EADDRINUSE) {
    return Error(ErrorKind::kIo, "Cannot listen on " + where +
                                     ": another program uses that port; stop it or choose another "
                                     "with --port (0 picks a free one).");
  }
  if (error == EACCES) {
    return Error(ErrorKind::kIo, "Cannot listen on " + where +
                                     ": no permission for that port; choose one above 1023.");
  }
  if (error == EADDRNOTAVAIL) {
    return Error(ErrorKind::kIo,
                 "Cannot listen on " + where +
                     ": this machine has no such address; use 127.0.0.1, or 0.0.0.0 "
                     "for all addresses.");
  }
  return Error(ErrorKind::kIo, "Cannot listen on " + where + ": " + std::strerror(error) +
                                   "; check --host and --port.");
}

// True for errors that only say that the machine lacks one address family.
bool family_missing(int error) { return error == EAFNOSUPPORT || error == EADDRNOTAVAIL; }

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Result<std::vector<Listener>> listen_on(const std::string& host, int port, int backlog) {
  const bool both_loopbacks = host == "localhost";
  const std::vector<std::string> names = both_loopbacks
                                             ? std::vector<std::string>{"127.0.0.1", "::1"}
                                             : std::vector<std::string>{host};
  std::vector<Listener> listeners;
  int last_error = 0;
  for (const std::string& name : names) {
    const AddressList list = resolve(name, port);
    if (!list) {
      return Error(ErrorKind::kInvalidInput, "Cannot listen on \"" + host +
                                                 "\": the name has no address; use 127.0.0.1 or an "
                                                 "address of this machine.");
    }
    // One socket per name: a name with several addresses listens on the first that works.
    bool bound = false;
    for (const addrinfo* at = list.get(); at != nullptr && !bound; at = at->ai_next) {
      auto listener = listen_at(*at, backlog, last_error);
      bound = listener.ok();
      if (bound) listeners.push_back(std::move(listener).value());
    }
    // With port 0 the second loopback takes the first one's number only if it is free there.
    const bool optional_now = !listeners.empty() && (port == 0 || family_missing(last_error));
    if (!bound && !optional_now && !(both_loopbacks && family_missing(last_error))) {
      return bind_error(host, port, last_error);
    }
    if (port == 0 && bound && both_loopbacks && listeners.size() == 1) {
      const int chosen = bound_port(listeners.front().fd);
      const AddressList second = resolve("::1", chosen);
      if (second) {
        auto also = listen_at(*second, backlog, last_error);
        if (also.ok()) listeners.push_back(std::move(also).value());
      }
      break;
    }
  }
  if (listeners.empty()) return bind_error(host, port, last_error);
  return listeners;
}

int bound_port(const Fd& listener) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  if (bound.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

bool is_loopback_host(const std::string& host) {
  if (host == "localhost") return true;
  const AddressList list = resolve(host, 0);
  if (!list) return false;
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    if (at->ai_family == AF_INET) {
      sockaddr_in v4{};
      std::memcpy(&v4, at->ai_addr, sizeof(v4));
      if (ntohl(v4.sin_addr.s_addr) >> 24 != 127) return false;
    } else if (at->ai_family == AF_INET6) {
      sockaddr_in6 v6{};
      std::memcpy(&v6, at->ai_addr, sizeof(v6));
      if (!IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) return false;
    } else {
      return false;
    }
  }
  return true;
}

IoState receive(int fd, std::string& into, size_t most, Clock::time_point deadline) {
  const size_t before = into.size();
  const size_t piece = std::min<size_t>(most, size_t{64} << 10);
  while (true) {
    into.resize(before + piece);
    const ssize_t got = recv(fd, into.data() + before, piece, 0);
    into.resize(before + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got > 0) return IoState::kOk;
    if (got == 0) return IoState::kClosed;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return IoState::kClosed;
    const int wait_ms = remaining_ms(deadline);
    if (wait_ms == 0) return IoState::kTimeout;
    pollfd poll_fd{fd, POLLIN, 0};
    poll(&poll_fd, 1, wait_ms);
  }
}

IoState send_all(int fd, std::string_view bytes, std::chrono::milliseconds stall) {
  Clock::time_point deadline = Clock::now() + stall;
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
      deadline = Clock::now() + stall;
      continue;
    }
    if (sent < 0 && errno == EINTR) continue;
    if (sent == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return IoState::kClosed;
    const int wait_ms = remaining_ms(deadline);
    if (wait_ms == 0) return IoState::kTimeout;
    pollfd poll_fd{fd, POLLOUT, 0};
    poll(&poll_fd, 1, wait_ms);
  }
  return IoState::kOk;
}

size_t send_some(int fd, std::string_view bytes) {
  const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return sent > 0 ? static_cast<size_t>(sent) : 0;
}

void send_without_delay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

PeerState peer_state(int fd) {
  pollfd poll_fd{fd, POLLRDHUP, 0};
  if (poll(&poll_fd, 1, 0) <= 0) return PeerState::kOpen;
  if ((poll_fd.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return PeerState::kGone;
  return (poll_fd.revents & POLLRDHUP) != 0 ? PeerState::kHalfClosed : PeerState::kOpen;
}

std::string peer_address(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return "unknown";
  return numeric_address(peer, false);
}

}  // namespace quern::http
