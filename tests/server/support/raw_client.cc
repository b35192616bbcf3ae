// POSIX sockets with deadlines.
#include "tests/server/support/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace quern::tests {
namespace {

using Clock = std::chrono::steady_clock;

int left_ms(Clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

}  // namespace

std::string RawResponse::header(std::string_view name) const {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  const std::string key = "\r\n" + std::string(name) + ": ";
  const auto at = std::search(head.begin(), head.end(), key.begin(), key.end(), same);
  if (at == head.end()) return "";
  const auto start = static_cast<size_t>(at - head.begin()) + key.size();
  return head.substr(start, head.find("\r\n", start) - start);
}

RawClient::RawClient(int port, int receive_buffer) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (receive_buffer > 0) {
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) close();
}

RawClient::~RawClient() { close(); }

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    pollfd poll_fd{fd_, POLLOUT, 0};
    if (poll(&poll_fd, 1, 5000) <= 0) return false;
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool RawClient::send_slowly(std::string_view bytes) {
  for (const char& byte : bytes) {
    if (!send(std::string_view(&byte, 1))) return false;
  }
  return true;
}

void RawClient::half_close() { shutdown(fd_, SHUT_WR); }

void RawClient::reset() {
  const linger hard{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  close();
}

void RawClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

bool RawClient::fill(Clock::time_point deadline) {
  pollfd poll_fd{fd_, POLLIN, 0};
  if (poll(&poll_fd, 1, left_ms(deadline)) <= 0) return false;
  char piece[65536];
  const ssize_t got = recv(fd_, piece, sizeof(piece), 0);
  if (got <= 0) return false;
  buffer_.append(piece, static_cast<size_t>(got));
  return true;
}

bool RawClient::closed_within(std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (Clock::now() < deadline) {
    pollfd poll_fd{fd_, POLLIN, 0};
    if (poll(&poll_fd, 1, left_ms(deadline)) <= 0) return false;
    char piece[65536];
    if (recv(fd_, piece, sizeof(piece), 0) <= 0) return true;
  }
  return false;
}

RawResponse RawClient::read_response(std::chrono::milliseconds timeout, bool head_only) {
  const auto deadline = Clock::now() + timeout;
  RawResponse out;
  size_t end = 0;
  while (true) {
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!fill(deadline)) return out;
    }
    out.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    std::from_chars(out.head.data() + 9, out.head.data() + 12, out.status);
    if (out.status >= 200) break;
    ++interim_;
  }
  out.chunked = out.header("transfer-encoding") == "chunked";
  const std::string length_text = out.header("content-length");
  size_t length = 0;
  std::from_chars(length_text.data(), length_text.data() + length_text.size(), length);
  if (head_only || out.status == 204) {
    out.complete = true;
    return out;
  }
  while (!out.chunked && !length_text.empty()) {
    if (buffer_.size() >= length) {
      out.body = buffer_.substr(0, length);
      buffer_.erase(0, length);
      out.complete = true;
      return out;
    }
    if (!fill(deadline)) return out;
  }
  if (!out.chunked) {  // until the end
    while (fill(deadline)) {
    }
    out.body.swap(buffer_);
    out.complete = true;
    return out;
  }
  while (true) {
    const size_t line = buffer_.find("\r\n");
    size_t size = 0;
    if (line != std::string::npos) {
      std::from_chars(buffer_.data(), buffer_.data() + line, size, 16);
    }
    if (line == std::string::npos || buffer_.size() < line + 2 + size + 2) {
      if (!fill(deadline)) return out;
      continue;
    }
    out.body += buffer_.substr(line + 2, size);
    buffer_.erase(0, line + 2 + size + 2);
    if (size == 0) {
      out.complete = true;
      return out;
    }
  }
}

RawResponse fetch(int port, std::string_view request) {
  RawClient client(port);
  if (!client.connected()) return {};
  client.send(request);
  return client.read_response(std::chrono::seconds(5), request.starts_with("HEAD "));
}

RawResponse post_json(int port, const std::string& path, const std::string& body,
                      const std::string& headers) {
  return fetch(port, "POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers +
                         "Content-Type: application/json\r\nContent-Length: " +
                         std::to_string(body.size()) + "\r\n\r\n" + body);
}

RawResponse get(int port, const std::string& path, const std::string& headers) {
  return fetch(port, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
}

}  // namespace quern::tests
