// libFuzzer target: request heads, chunked bodies and access rules on any bytes.
//
// Promises: what arrives byte by byte is understood as what arrives at once; a head that was
// accepted reads the same when it is written anew; every fault is a 4xx or 5xx with a sentence.
#include <algorithm>
#include <string>

#include "server/http/access.h"
#include "server/http/body_reader.h"
#include "server/http/head_parser.h"
#include "tests/fuzz/require.h"

namespace {

using quern::fuzz::require;
using quern::http::ChunkDecoder;
using quern::http::Fault;
using quern::http::HeadProgress;
using quern::http::Limits;
using quern::http::RequestHead;

// Small enough that inputs of a few kilobytes reach them.
Limits small_limits() {
  Limits limits;
  limits.max_target_bytes = 64;
  limits.max_header_line_bytes = 128;
  limits.max_head_bytes = 512;
  limits.max_header_count = 8;
  limits.max_body_bytes = 256;
  limits.max_chunk_overhead_bytes = 64;
  return limits;
}

void check_fault(const Fault& fault) {
  require(fault.status >= 400 && fault.status < 600, "a fault has an error status");
  require(!fault.message.empty(), "a fault says why");
}

std::string written_anew(const RequestHead& head) {
  std::string out = head.method + " " + head.path + (head.query.empty() ? "" : "?" + head.query) +
                    (head.version_1_0 ? " HTTP/1.0" : " HTTP/1.1") + "\r\n";
  bool has_host = false;
  for (const auto& header : head.headers) {
    out += header.name + ": " + header.value + "\r\n";
    has_host = has_host || header.name == "host";
  }
  // An absolute target names the host itself, and is written as a path here.
  if (!has_host && head.has_host) out += "host: h\r\n";
  return out + "\r\n";
}

void check_accepted(const RequestHead& head) {
  // Lower-cased names and trimmed values never need more room than what was sent; the defaults are
  // used so that only the meaning counts.
  RequestHead again;
  const auto fault = quern::http::parse_request_head(written_anew(head), Limits{}, again);
  require(!fault, "an accepted head is accepted again");
  require(again.method == head.method && again.path == head.path && again.query == head.query,
          "the request line reads the same again");
  require(again.chunked == head.chunked && again.content_length == head.content_length &&
              again.keep_alive == head.keep_alive &&
              again.expects_continue == head.expects_continue,
          "the framing reads the same again");
  require(again.headers.size() >= head.headers.size(), "no header goes");
  require(!(head.chunked && head.content_length > 0), "one framing, not two");
  quern::http::AccessPolicy policy;
  policy.api_keys = {"key"};
  policy.allowed_hosts = {"name.test"};
  quern::http::host_allowed(policy, head.host);
  quern::http::key_accepted(policy, head.headers);
  for (const auto& header : head.headers) {
    quern::http::origin_allowed(policy, header.value, head.host);
  }
  std::string decoded;
  quern::http::percent_decode(head.path, decoded);
}

void check_head(const std::string& bytes) {
  const Limits limits = small_limits();
  size_t scanned = 0;
  size_t head_bytes = 0;
  const HeadProgress whole = quern::http::scan_head(bytes, limits, scanned, head_bytes);
  HeadProgress slow = HeadProgress::kIncomplete;
  size_t slow_scanned = 0;
  size_t slow_head_bytes = 0;
  for (size_t n = 1; n <= bytes.size() && slow == HeadProgress::kIncomplete; ++n) {
    slow = quern::http::scan_head(std::string_view(bytes).substr(0, n), limits, slow_scanned,
                                  slow_head_bytes);
  }
  require(slow == whole, "a head ends where it ends, however it arrives");
  RequestHead head;
  if (whole != HeadProgress::kComplete) {
    if (const auto fault = quern::http::parse_request_head(bytes, limits, head)) {
      check_fault(*fault);
    }
    return;
  }
  require(slow_head_bytes == head_bytes && head_bytes <= bytes.size(), "the head's length");
  const auto fault = quern::http::parse_request_head(bytes.substr(0, head_bytes), limits, head);
  if (fault) return check_fault(*fault);
  check_accepted(head);
}

struct Decoded {
  std::string body;
  std::string rest;
  bool done = false;
  int status = 0;
};

// Feeds `bytes` in pieces of `step`.
Decoded decode(const std::string& bytes, size_t step) {
  const Limits limits = small_limits();
  ChunkDecoder decoder(limits);
  Decoded out;
  size_t at = 0;
  while (at < bytes.size() && !decoder.done() && out.status == 0) {
    const size_t n = std::min(step, bytes.size() - at);
    out.rest.append(bytes, at, n);
    at += n;
    if (const auto fault = decoder.feed(out.rest, out.body)) {
      check_fault(*fault);
      out.status = fault->status;
    }
  }
  out.done = decoder.done();
  out.rest.append(bytes, at, std::string::npos);
  require(out.body.size() <= limits.max_body_bytes, "a body stays within its limit");
  return out;
}

void check_chunks(const std::string& bytes) {
  const Decoded whole = decode(bytes, bytes.size());
  for (const size_t step : {size_t{1}, size_t{7}}) {
    const Decoded slow = decode(bytes, step);
    require(slow.done == whole.done && slow.status == whole.status && slow.body == whole.body,
            "chunks mean the same, however they arrive");
    require(!slow.done || slow.rest == whole.rest, "what follows a body stays");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(quern::fuzz::text_of(data, size));
  check_chunks(bytes);
  const std::string before = bytes;
  const bool begun = quern::http::begins_request(bytes);
  require(before.ends_with(bytes), "only empty lines before a request are dropped");
  if (begun) check_head(bytes);
  return 0;
}
