#include "server/http/dial.h"

#include <netdb.h>

#include <cerrno>
#include <cstring>

namespace quern::http {

Result<Destination> Destination::look_up(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int failed = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (failed != 0) {
    return Error(ErrorKind::kNotFound, "the host \"" + host + "\" has no address (" +
                                           gai_strerror(failed) + "); check the URL");
  }
  Destination out;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    Address address;
    if (at->ai_addrlen > sizeof(address.storage)) continue;
    std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
    address.size = at->ai_addrlen;
    out.addresses_.push_back(address);
  }
  freeaddrinfo(list);
  CHECK(!out.addresses_.empty());
  return out;
}

Result<Fd> Destination::dial(size_t address) const {
  const Address& to = addresses_.at(address);
  Fd fd(socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return Error(ErrorKind::kIo, std::string("no socket: ") + std::strerror(errno));
  }
  send_without_delay(fd.get());
  const int done = connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.size);
  if (done != 0 && errno != EINPROGRESS && errno != EINTR) {
    return Error(ErrorKind::kIo, std::strerror(errno));
  }
  return fd;
}

std::string connect_error(int fd) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  return error == 0 ? std::string() : std::string(std::strerror(error));
}

}  // namespace quern::http
