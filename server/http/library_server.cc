// One library server per answer: it starts no thread and opens no socket, and its pre-routing
// handler, bound to this answer, replaces routes (whose regular expressions recurse on long paths).
#include "server/http/library_server.h"

#include <httplib.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace quern::http {
namespace {

// Small answers leave in one piece, large ones in pieces of about this size.
constexpr size_t kGatheredBytes = size_t{64} << 10;

// What the library takes for its socket: reads the request from memory, gathers what it writes.
//
// Overrides without saying so: releases differ in which of these functions Stream has.
class MemoryStream final : public httplib::Stream {
 public:
  MemoryStream(std::string request, const ByteSink& sink)
      : request_(std::move(request)), sink_(sink) {}

  // Until then what the library writes is dropped: an answer of its own making.
  void accept_output() { accepting_ = true; }
  bool accepting() const { return accepting_; }
  bool flush() {
    if (!failed_ && !gathered_.empty()) failed_ = !sink_(gathered_);
    gathered_.clear();
    return !failed_;
  }

  virtual bool is_readable() const { return at_ < request_.size(); }
  virtual bool wait_readable() const { return true; }
  virtual bool is_writable() const { return !failed_; }
  virtual bool wait_writable() const { return !failed_; }
  virtual bool is_peer_alive() const { return !failed_; }
  virtual time_t duration() const { return 0; }

  virtual ssize_t read(char* into, size_t size) {
    const size_t n = std::min(size, request_.size() - at_);
    std::memcpy(into, request_.data() + at_, n);
    at_ += n;
    return static_cast<ssize_t>(n);
  }
  virtual ssize_t write(const char* bytes, size_t size) {
    if (failed_) return -1;
    if (accepting_) gathered_.append(bytes, size);
    if (gathered_.size() >= kGatheredBytes && !flush()) return -1;
    return static_cast<ssize_t>(size);
  }

  virtual void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const {}
  virtual void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const {}
  virtual socket_t socket() const { return INVALID_SOCKET; }

 private:
  const std::string request_;
  const ByteSink& sink_;
  size_t at_ = 0;
  std::string gathered_;
  bool accepting_ = false;
  bool failed_ = false;
};

class LibraryServer : private httplib::Server {
 public:
  using Fill = std::function<void(httplib::Response&, MemoryStream&)>;

  LibraryServer(const AnswerForm& form, int status, Fill fill)
      : form_(form), status_(status), fill_(std::move(fill)) {
    // The library breaks off streams unless this is valid; it is neither read from nor closed.
    svr_sock_ = 0;
  }
  ~LibraryServer() override { svr_sock_ = INVALID_SOCKET; }

  // True when `request` led to our answer and all of it has been taken. `understood` is false when
  // the library would not have the request; nothing has been written then.
  bool answer(const std::string& request, const ByteSink& sink, bool& understood) {
    MemoryStream stream(request, sink);
    set_pre_routing_handler([&](const httplib::Request& /*request*/, httplib::Response& out) {
      try {
        fill_(out, stream);
        stream.accept_output();
      } catch (...) {
        // Unhandled: the library's own 404 or 500 is dropped, and the connection with it.
        return HandlerResponse::Unhandled;
      }
      return HandlerResponse::Handled;
    });
    set_post_routing_handler([this](const httplib::Request& /*request*/, httplib::Response& out) {
      out.headers.erase("Keep-Alive");     // tells the library's own timeout, which is not in force
      out.headers.erase("Accept-Ranges");  // ranges are never served
      if (status_ == 204) out.headers.erase("Content-Length");  // RFC 9110 8.6
    });
    bool written = false;
    try {
      written = process(&LibraryServer::process_request, stream);
    } catch (...) {
      // Out of memory: the answer ends here, and the connection with it.
    }
    understood = stream.accepting();
    return written && understood && stream.flush();
  }

 private:
  using Setup = std::function<void(httplib::Request&)>;
  using UpTo014 = bool (httplib::Server::*)(httplib::Stream&, bool, bool&, const Setup&);
  using From015 = bool (httplib::Server::*)(httplib::Stream&, const std::string&, int,
                                            const std::string&, int, bool, bool&, const Setup&);
  using WithUpgrade = bool (httplib::Server::*)(httplib::Stream&, const std::string&, int,
                                                const std::string&, int, bool, bool&, const Setup&,
                                                bool*);

  // One for each form that the library's function has had.
  bool process(UpTo014 function, MemoryStream& stream) {
    bool closed = false;
    return (this->*function)(stream, !form_.keep_alive, closed, nullptr);
  }
  bool process(From015 function, MemoryStream& stream) {
    bool closed = false;
    return (this->*function)(stream, "", 0, "", 0, !form_.keep_alive, closed, nullptr);
  }
  bool process(WithUpgrade function, MemoryStream& stream) {
    bool closed = false;
    bool upgraded = false;
    return (this->*function)(stream, "", 0, "", 0, !form_.keep_alive, closed, nullptr, &upgraded);
  }

  const AnswerForm& form_;
  const int status_;
  const Fill fill_;
};

// Only what the library needs. Ranges, codings, expectations and upgrades would make it change an
// answer or refuse it, each release others, and a query it understands less strictly than we do.
std::string canonical_request(const AnswerForm& form) {
  std::string out = form.method + " " + (form.path.empty() ? "/" : form.path);
  out.append(form.version_1_0 ? " HTTP/1.0" : " HTTP/1.1").append("\r\nHost: ").append(form.host);
  return out.append(form.keep_alive ? "\r\nConnection: Keep-Alive" : "\r\nConnection: close")
      .append("\r\n\r\n");
}

bool answer(const AnswerForm& form, const Response& response, const LibraryServer::Fill& fill_body,
            const ByteSink& sink) {
  LibraryServer server(form, response.status, [&](httplib::Response& out, MemoryStream& stream) {
    out.status = response.status;
    for (const Header& header : response.headers) out.set_header(header.name, header.value);
    fill_body(out, stream);
  });
  bool understood = false;
  const bool written = server.answer(canonical_request(form), sink, understood);
  if (understood) return written;
  // A method the library does not know, a target longer than it takes: our answer stands all the
  // same.
  AnswerForm plain;
  plain.version_1_0 = form.version_1_0;
  plain.keep_alive = form.keep_alive;
  return server.answer(canonical_request(plain), sink, understood);
}

}  // namespace

bool write_answer(const AnswerForm& form, const Response& response, const ByteSink& sink) {
  return answer(
      form, response,
      [&](httplib::Response& out, MemoryStream& /*stream*/) {
        if (response.status == 204) return;
        out.body = response.body;
        if (!response.content_type.empty()) {
          out.set_header("Content-Type", response.content_type);
        }
      },
      sink);
}

bool write_stream(const AnswerForm& form, const Response& head, const StreamBody& body,
                  const ByteSink& sink) {
  bool whole = form.method == "HEAD";
  const auto fill = [&](httplib::Response& out, MemoryStream& stream) {
    auto provider = [&](size_t /*offset*/, httplib::DataSink& library) {
      const StreamWrite write = [&](std::string_view piece) {
        // To the library an empty piece is the end.
        if (piece.empty()) return stream.is_writable();
        return library.write(piece.data(), piece.size()) && stream.flush();
      };
      try {
        whole = stream.flush() && body(write);
      } catch (...) {
        whole = false;  // must not pass through the library, which would go on
      }
      if (whole) library.done();
      return whole;
    };
    if (form.version_1_0) {
      out.set_content_provider(head.content_type, provider);
    } else {
      out.set_chunked_content_provider(head.content_type, provider);
    }
  };
  const bool written = answer(form, head, fill, sink);
  return written && whole;
}

}  // namespace quern::http
