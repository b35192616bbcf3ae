// Reads an HTTP/1.x response piece by piece and hands out its body as it comes.
//
// For answers of servers we do not know: lines may end in LF alone, the length may be given,
// chunked or unknown. Interim answers (1xx) are skipped. Everything is bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quern::loadgen {

class ResponseReader {
 public:
  static constexpr size_t kMaxHeadBytes = size_t{64} << 10;
  static constexpr size_t kMaxLineBytes = size_t{16} << 10;

  // Takes what has arrived; appends what of it belongs to the body.
  void feed(std::string_view bytes, std::string& body);
  // The peer has closed: the end of a body of unknown length, a fault in any other place.
  void close();

  // The head is there.
  bool begun() const { return body_begun_; }
  // The whole answer is there.
  bool done() const { return stage_ == nullptr && fault_.empty(); }
  // What is wrong with the answer; empty: nothing so far.
  const std::string& fault() const { return fault_; }
  int status() const { return status_; }
  // In lower case, without parameters.
  const std::string& content_type() const { return content_type_; }

 private:
  // One step of reading; false when it needs more bytes. Null: nothing more is read.
  using Stage = bool (ResponseReader::*)(std::string& body);

  bool read_status(std::string& body);
  bool read_header(std::string& body);
  bool read_chunk_size(std::string& body);
  bool read_chunk_end(std::string& body);
  bool read_trailer(std::string& body);
  bool read_sized(std::string& body);
  bool read_until_close(std::string& body);

  bool take_line(std::string& line);
  bool take_header(std::string_view line);
  bool end_of_head();
  bool fail(std::string what);
  bool finish();

  Stage stage_ = &ResponseReader::read_status;
  std::string buffer_;
  size_t head_bytes_ = 0;
  int status_ = 0;
  bool body_begun_ = false;
  bool chunked_ = false;
  bool has_length_ = false;
  uint64_t left_ = 0;  // of the body, or of the chunk
  std::string content_type_;
  std::string fault_;
};

}  // namespace quern::loadgen
