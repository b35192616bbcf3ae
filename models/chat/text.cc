// Marked strings; see text.h.
#include "models/chat/text.h"

#include <algorithm>

#include "models/chat/unicode.h"

namespace quern::chat {

void TextBuilder::mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!text_.user.empty() && text_.user.back().end == begin) {
    text_.user.back().end = end;
  } else {
    text_.user.push_back({begin, end});
  }
}

void TextBuilder::append(std::string_view bytes, bool from_user) {
  const size_t begin = text_.bytes.size();
  text_.bytes.append(bytes);
  if (from_user) mark(begin, text_.bytes.size());
}

void TextBuilder::append(const Text& text, size_t begin, size_t end) {
  const size_t base = text_.bytes.size();
  text_.bytes.append(text.bytes, begin, end - begin);
  auto range = std::lower_bound(text.user.begin(), text.user.end(), begin,
                                [](const ByteRange& r, size_t at) { return r.end <= at; });
  for (; range != text.user.end() && range->begin < end; ++range) {
    mark(base + std::max(range->begin, begin) - begin, base + std::min(range->end, end) - begin);
  }
}

void TextBuilder::append_code_point(char32_t code_point, bool from_user) {
  std::string bytes;
  append_utf8(bytes, code_point);
  append(bytes, from_user);
}

bool UserMarks::at(size_t position) {
  while (next_ < text_.user.size() && text_.user[next_].end <= position) ++next_;
  return next_ < text_.user.size() && text_.user[next_].begin <= position;
}

}  // namespace quern::chat
