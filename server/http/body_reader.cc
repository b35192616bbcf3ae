// One loop that receives, one decoder that consumes; the rate is checked at each turn.
#include "server/http/body_reader.h"

#include <algorithm>
#include <charconv>

namespace quern::http {
namespace {

Fault too_large(const Limits& limits) {
  return Fault{413, "The request body is larger than " + std::to_string(limits.max_body_bytes) +
                        " bytes; send less."};
}

// Waits for bytes under the rule "after the grace time at least so many bytes per second".
class PacedReceiver {
 public:
  PacedReceiver(int fd, const Limits& limits) : fd_(fd), limits_(limits), start_(Clock::now()) {}

  BodyState receive_more(std::string& buffer, size_t most, Fault& fault) {
    const auto earned = std::chrono::milliseconds(
        static_cast<int64_t>(received_ * 1000 / std::max<size_t>(limits_.min_body_bytes_per_s, 1)));
    const auto allowed = std::min(limits_.body_grace + earned, limits_.body_deadline);
    const size_t before = buffer.size();
    const IoState state = receive(fd_, buffer, most, start_ + allowed);
    received_ += buffer.size() - before;
    if (state == IoState::kOk) return BodyState::kComplete;
    if (state == IoState::kClosed) return BodyState::kGone;
    fault = Fault{408, "The request body came too slowly; send it faster."};
    return BodyState::kFault;
  }

 private:
  int fd_;
  const Limits& limits_;
  Clock::time_point start_;
  size_t received_ = 0;
};

BodyState read_sized(PacedReceiver& receiver, size_t length, std::string& buffer, std::string& body,
                     Fault& fault) {
  body.assign(buffer, 0, std::min(length, buffer.size()));
  buffer.erase(0, body.size());
  while (body.size() < length) {
    const BodyState state = receiver.receive_more(body, length - body.size(), fault);
    if (state != BodyState::kComplete) return state;
  }
  return BodyState::kComplete;
}

}  // namespace

BodyState read_body(int fd, const RequestHead& head, const Limits& limits, std::string& buffer,
                    std::string& body, Fault& fault) {
  PacedReceiver receiver(fd, limits);
  if (!head.chunked) {
    if (head.content_length > limits.max_body_bytes) {
      fault = too_large(limits);
      return BodyState::kFault;
    }
    return read_sized(receiver, static_cast<size_t>(head.content_length), buffer, body, fault);
  }
  ChunkDecoder decoder(limits);
  while (true) {
    if (auto found = decoder.feed(buffer, body)) {
      fault = std::move(*found);
      return BodyState::kFault;
    }
    if (decoder.done()) return BodyState::kComplete;
    const BodyState state = receiver.receive_more(buffer, size_t{64} << 10, fault);
    if (state != BodyState::kComplete) return state;
  }
}

std::optional<Fault> ChunkDecoder::take_size(std::string_view line) {
  const size_t digits = std::min(line.find_first_of("; \t"), line.size());
  size_t size = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + digits, size, 16);
  if (digits == 0 || digits > 8 || line.front() == '-' || error != std::errc() ||
      end != line.data() + digits) {
    return Fault{400, "A chunk size must be 1 to 8 hexadecimal digits."};
  }
  for (const char c : line) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t') {
      return Fault{400, "A chunk extension holds a control character."};
    }
  }
  overhead_ += line.size() - digits;
  if (size > limits_.max_body_bytes - total_) return too_large(limits_);
  total_ += size;
  left_ = size;
  state_ = size == 0 ? State::kTrailer : State::kData;
  return std::nullopt;
}

std::optional<Fault> ChunkDecoder::take_line(std::string_view line) {
  std::optional<Fault> fault;
  if (state_ == State::kSize) {
    fault = take_size(line);
  } else if (state_ == State::kDataEnd) {
    if (!line.empty()) fault = Fault{400, "A chunk is longer than its size says."};
    state_ = State::kSize;
  } else if (line.empty()) {
    state_ = State::kDone;
  } else {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
      fault = Fault{400, "A trailer line must be \"name: value\"."};
    }
    overhead_ += line.size() + 2;
  }
  if (!fault && overhead_ > limits_.max_chunk_overhead_bytes) {
    fault = Fault{400, "Chunk extensions and trailers are too large."};
  }
  return fault;
}

std::optional<Fault> ChunkDecoder::feed(std::string& buffer, std::string& body) {
  size_t at = 0;
  std::optional<Fault> fault;
  while (!done() && !fault) {
    if (state_ == State::kData) {
      const size_t taken = std::min(left_, buffer.size() - at);
      body.append(buffer, at, taken);
      at += taken;
      left_ -= taken;
      if (left_ > 0) break;
      state_ = State::kDataEnd;
    }
    const size_t lf = buffer.find('\n', at);
    if (std::min(lf, buffer.size()) - at > limits_.max_header_line_bytes) {
      fault = Fault{400, "A chunk line is too long."};
      break;
    }
    if (lf == std::string::npos) break;
    if (lf == at || buffer[lf - 1] != '\r') {
      fault = Fault{400, "Lines must end with CR LF."};
      break;
    }
    fault = take_line(std::string_view(buffer).substr(at, lf - 1 - at));
    at = lf + 1;
  }
  buffer.erase(0, at);
  return fault;
}

}  // namespace quern::http
