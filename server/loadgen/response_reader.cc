#include "server/loadgen/response_reader.h"

#include <algorithm>
#include <charconv>

#include "server/http/message.h"

namespace quern::loadgen {
namespace {

template <typename T>
bool parse_number(std::string_view text, int base, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

void ResponseReader::feed(std::string_view bytes, std::string& body) {
  if (stage_ == nullptr) return;
  buffer_.append(bytes);
  while (stage_ != nullptr && (this->*stage_)(body)) {
  }
}

void ResponseReader::close() {
  if (stage_ == &ResponseReader::read_until_close) {
    finish();
  } else if (stage_ != nullptr) {
    fail(body_begun_ ? "the connection was closed in the middle of the answer"
                     : "the connection was closed before an answer came");
  }
}

bool ResponseReader::fail(std::string what) {
  fault_ = std::move(what);
  stage_ = nullptr;
  return false;
}

bool ResponseReader::finish() {
  stage_ = nullptr;
  return false;
}

// The next line without its end. False: it is not there yet, or too long.
bool ResponseReader::take_line(std::string& line) {
  const size_t end = buffer_.find('\n');
  if (end == std::string::npos) {
    return buffer_.size() > kMaxLineBytes ? fail("a line of the answer does not end") : false;
  }
  line = buffer_.substr(0, end);
  if (line.ends_with('\r')) line.pop_back();
  buffer_.erase(0, end + 1);
  head_bytes_ += end + 1;
  return true;
}

bool ResponseReader::read_status(std::string& /*body*/) {
  constexpr std::string_view kVersion = "HTTP/1.";
  // Told before a line ends, as what is not HTTP may never end one.
  if (buffer_.substr(0, kVersion.size()) != kVersion.substr(0, buffer_.size())) {
    return fail("the answer is not HTTP/1");
  }
  std::string line;
  if (!take_line(line)) return false;
  const bool form = line.size() >= 12 && line[8] == ' ' && (line.size() == 12 || line[12] == ' ');
  if (!form || !parse_number(std::string_view(line).substr(9, 3), 10, status_) || status_ < 100) {
    return fail("the answer has no status");
  }
  stage_ = &ResponseReader::read_header;
  return true;
}

bool ResponseReader::read_header(std::string& /*body*/) {
  std::string line;
  if (!take_line(line)) return false;
  if (head_bytes_ > kMaxHeadBytes) return fail("the head of the answer does not end");
  if (line.empty()) return end_of_head();
  return take_header(line);
}

bool ResponseReader::take_header(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return fail("a header of the answer has no colon");
  const std::string name = http::to_lower(line.substr(0, colon));
  const std::string value = http::to_lower(http::trim(line.substr(colon + 1)));
  if (name == "content-type") {
    content_type_ = std::string(http::trim(std::string_view(value).substr(0, value.find(';'))));
  } else if (name == "content-length") {
    has_length_ = true;
    if (!parse_number(value, 10, left_)) return fail("the length of the answer is no number");
  } else if (name == "transfer-encoding") {
    if (value != "chunked") return fail("the answer has the unknown coding \"" + value + "\"");
    chunked_ = true;
  }
  return true;
}

bool ResponseReader::end_of_head() {
  if (status_ < 200) {
    stage_ = &ResponseReader::read_status;
    return true;
  }
  body_begun_ = true;
  if (status_ == 204 || status_ == 304) return finish();
  if (chunked_) {
    stage_ = &ResponseReader::read_chunk_size;
  } else {
    stage_ = has_length_ ? &ResponseReader::read_sized : &ResponseReader::read_until_close;
  }
  return true;
}

bool ResponseReader::read_chunk_size(std::string& /*body*/) {
  std::string line;
  if (!take_line(line)) return false;
  const std::string_view size = http::trim(std::string_view(line).substr(0, line.find(';')));
  if (!parse_number(size, 16, left_)) return fail("a chunk of the answer has no size");
  head_bytes_ = 0;
  stage_ = left_ == 0 ? &ResponseReader::read_trailer : &ResponseReader::read_sized;
  return true;
}

bool ResponseReader::read_sized(std::string& body) {
  const auto n = static_cast<size_t>(std::min<uint64_t>(left_, buffer_.size()));
  body.append(buffer_, 0, n);
  buffer_.erase(0, n);
  left_ -= n;
  if (left_ > 0) return false;
  if (!chunked_) return finish();
  stage_ = &ResponseReader::read_chunk_end;
  return true;
}

bool ResponseReader::read_chunk_end(std::string& /*body*/) {
  std::string line;
  if (!take_line(line)) return false;
  if (!line.empty()) return fail("a chunk of the answer is longer than it says");
  stage_ = &ResponseReader::read_chunk_size;
  return true;
}

bool ResponseReader::read_trailer(std::string& /*body*/) {
  std::string line;
  if (!take_line(line)) return false;
  if (head_bytes_ > kMaxHeadBytes) return fail("the trailers of the answer do not end");
  return line.empty() ? finish() : true;
}

bool ResponseReader::read_until_close(std::string& body) {
  body.append(buffer_);
  buffer_.clear();
  return false;
}

}  // namespace quern::loadgen
