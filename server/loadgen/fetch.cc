#include "server/loadgen/fetch.h"

#include <poll.h>

#include "config/base/json.h"
#include "server/loadgen/response_reader.h"
#include "server/loadgen/stream_reader.h"

namespace quern::loadgen {
namespace {

constexpr std::chrono::seconds kPatience{10};
constexpr size_t kMaxBodyBytes = size_t{4} << 20;

Error unreachable(const Target& target, const std::string& why) {
  return Error(ErrorKind::kIo, "http://" + target.authority + target.models_path +
                                   " gives no model (" + why + "); name one with --model");
}

// Connects to the first address that lets it.
Result<http::Fd> connect_any(const http::Destination& destination) {
  std::string why;
  for (size_t i = 0; i < destination.n_addresses(); ++i) {
    auto fd = destination.dial(i);
    if (!fd.ok()) {
      why = fd.error().message();
      continue;
    }
    pollfd waiting{fd->get(), POLLOUT, 0};
    const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
    if (poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) {
      why = "no connection within 10 s";
      continue;
    }
    why = http::connect_error(fd->get());
    if (why.empty()) return fd;
  }
  return Error(ErrorKind::kIo, why);
}

Result<std::string> get(const Target& target, const http::Destination& destination,
                        const std::string& key) {
  QUERN_ASSIGN_OR_RETURN(const http::Fd fd, connect_any(destination));
  const std::string head = "GET " + target.models_path + " HTTP/1.1\r\n" +
                           common_headers(target, key) + "Connection: close\r\n\r\n";
  const auto deadline = http::Clock::now() + kPatience;
  if (http::send_all(fd.get(), head, kPatience) != http::IoState::kOk) {
    return Error(ErrorKind::kIo, "it takes no request");
  }
  ResponseReader reader;
  std::string body;
  while (!reader.done() && reader.fault().empty() && body.size() <= kMaxBodyBytes) {
    std::string piece;
    const http::IoState state = http::receive(fd.get(), piece, size_t{64} << 10, deadline);
    if (state == http::IoState::kTimeout) return Error(ErrorKind::kIo, "no answer within 10 s");
    reader.feed(piece, body);
    if (state == http::IoState::kClosed) reader.close();
  }
  if (!reader.fault().empty()) return Error(ErrorKind::kIo, reader.fault());
  if (reader.status() != 200) {
    return Error(ErrorKind::kIo,
                 "status " + std::to_string(reader.status()) + ": " + error_message(body));
  }
  return body;
}

}  // namespace

std::string common_headers(const Target& target, const std::string& key) {
  std::string lines = "Host: " + target.authority + "\r\nUser-Agent: quern-bench\r\n";
  if (!key.empty()) lines += "Authorization: Bearer " + key + "\r\n";
  return lines;
}

Result<std::string> first_model(const Target& target, const http::Destination& destination,
                                const std::string& key) {
  const auto body = get(target, destination, key);
  if (!body.ok()) return unreachable(target, body.error().message());
  const auto parsed = parse_json(*body);
  if (parsed.ok() && parsed->is_object() && parsed->contains("data") &&
      (*parsed)["data"].is_array()) {
    for (const Json& model : (*parsed)["data"]) {
      if (model.is_object() && model.contains("id") && model["id"].is_string()) {
        return model["id"].get<std::string>();
      }
    }
  }
  return unreachable(target, "the answer lists none");
}

}  // namespace quern::loadgen
