// Outgoing connections, for programs of ours that are clients. Non-blocking like those of socket.h.
#pragma once

#include <sys/socket.h>

#include <string>
#include <vector>

#include "config/base/result.h"
#include "server/http/socket.h"

namespace quern::http {

// The addresses of a host, looked up once.
class Destination {
 public:
  // Error: the name has no address.
  static Result<Destination> look_up(const std::string& host, int port);

  // At least one.
  size_t n_addresses() const { return addresses_.size(); }
  // A socket on which a connection to that address is being made; once it is writable,
  // connect_error() tells how that ended. Error: no socket could be had, or it was refused at once.
  Result<Fd> dial(size_t address) const;

 private:
  struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
  };
  std::vector<Address> addresses_;
};

// Why the connection begun by dial() failed; empty when it stands.
std::string connect_error(int fd);

}  // namespace quern::http
