// Strings that remember which of their bytes came from the request.
//
// A template may cut, join and rewrite message text as it likes; the mark stays with the bytes, so
// the finished prompt says which pieces must not be searched for control tokens.
// Invariant: `user` ranges are sorted, disjoint, non-empty and inside `bytes`.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace quern::chat {

struct ByteRange {
  size_t begin = 0;
  size_t end = 0;
};

struct Text {
  std::string bytes;
  std::vector<ByteRange> user;
};

using TextRef = std::shared_ptr<const Text>;

// Builds a Text from pieces, merging neighbouring marks.
class TextBuilder {
 public:
  void append(std::string_view bytes, bool from_user);
  void append(const Text& text) { append(text, 0, text.bytes.size()); }
  // Appends text.bytes[begin, end) with its marks. Precondition: begin <= end <= size.
  void append(const Text& text, size_t begin, size_t end);
  void append_code_point(char32_t code_point, bool from_user);

  size_t size() const { return text_.bytes.size(); }
  const Text& text() const { return text_; }
  Text take() { return std::move(text_); }

 private:
  void mark(size_t begin, size_t end);

  Text text_;
};

// Answers "is this byte from the request" for rising positions in constant amortized time.
class UserMarks {
 public:
  explicit UserMarks(const Text& text) : text_(text) {}
  bool at(size_t position);

 private:
  const Text& text_;
  size_t next_ = 0;
};

}  // namespace quern::chat
