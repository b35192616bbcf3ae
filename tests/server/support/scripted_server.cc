#include "tests/server/support/scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <utility>

namespace quern::tests {

std::string ScriptedConnection::read_request() {
  std::string bytes;
  char piece[4096];
  size_t wanted = std::string::npos;
  while (bytes.size() < wanted) {
    const ssize_t got = recv(fd_, piece, sizeof(piece), 0);
    if (got <= 0) return "";
    bytes.append(piece, static_cast<size_t>(got));
    const size_t end = bytes.find("\r\n\r\n");
    if (wanted != std::string::npos || end == std::string::npos) continue;
    head_ = bytes.substr(0, end);
    size_t length = 0;
    constexpr std::string_view kLength = "Content-Length: ";
    const size_t at = head_.find(kLength);
    if (at != std::string::npos) {
      std::from_chars(head_.data() + at + kLength.size(), head_.data() + head_.size(), length);
    }
    wanted = end + 4 + length;
  }
  return bytes.substr(head_.size() + 4);
}

void ScriptedConnection::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void ScriptedConnection::reset() const {
  const linger hard{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

void ScriptedConnection::wait_for_close() const {
  pollfd waiting{fd_, POLLRDHUP, 0};
  poll(&waiting, 1, 20000);
}

ScriptedServer::ScriptedServer(std::function<void(ScriptedConnection&)> script)
    : script_(std::move(script)) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd_, 64) != 0) return;
  getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { accept_all(); });
}

ScriptedServer::~ScriptedServer() {
  shutdown(fd_, SHUT_RDWR);  // wakes accept()
  if (accepting_.joinable()) accepting_.join();
  for (std::thread& connection : connections_) connection.join();
  ::close(fd_);
}

void ScriptedServer::accept_all() {
  while (true) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const int index = n_connections_++;
    connections_.emplace_back([this, fd, index] {
      ScriptedConnection connection(fd, index);
      script_(connection);
      ::close(fd);
    });
  }
}

}  // namespace quern::tests
