// Implements template_strings.h.
#include "models/chat/template_strings.h"

#include <algorithm>
#include <string>

#include "models/chat/template_operators.h"

namespace quern::chat {
namespace {

std::vector<char32_t> code_points(std::string_view text) {
  std::vector<char32_t> out;
  for (size_t at = 0; at < text.size();) out.push_back(next_code_point(text, at));
  return out;
}

// Splits at white space; `limit` < 0: everywhere.
std::vector<ByteRange> space_split(std::string_view text, int64_t limit, bool from_right) {
  std::vector<ByteRange> words;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const bool space = is_space(next_code_point(text, at));
    if (!space && !inside) words.push_back({begin, at});
    if (!space) words.back().end = at;
    inside = !space;
  }
  if (limit < 0 || words.size() <= static_cast<size_t>(limit) + 1) {
    // Below the limit nothing remains unsplit, except that a limited split keeps no outer space.
    return words;
  }
  const auto keep = static_cast<size_t>(limit);
  if (from_right) {
    const size_t cut = words.size() - keep;
    words[cut - 1].begin = words.front().begin > 0 && keep > 0 ? 0 : words.front().begin;
    words[cut - 1].begin = 0;
    words.erase(words.begin(), words.begin() + static_cast<int64_t>(cut - 1));
  } else {
    words[keep].end = text.size();
    words.resize(keep + 1);
  }
  return words;
}

std::vector<ByteRange> separator_split(std::string_view text, std::string_view separator,
                                       int64_t limit, bool from_right) {
  std::vector<ByteRange> parts;
  if (from_right) {
    size_t end = text.size();
    while (limit != 0) {
      if (end < separator.size()) break;
      const size_t found = text.rfind(separator, end - separator.size());
      if (found == std::string_view::npos) break;
      parts.push_back({found + separator.size(), end});
      end = found;
      --limit;
    }
    parts.push_back({0, end});
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t begin = 0;
  while (limit != 0) {
    const size_t found = text.find(separator, begin);
    if (found == std::string_view::npos) break;
    parts.push_back({begin, found});
    begin = found + separator.size();
    --limit;
  }
  parts.push_back({begin, text.size()});
  return parts;
}

bool is_line_break(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

}  // namespace

Value part_of(Runtime& runtime, const Text& text, size_t begin, size_t end) {
  TextBuilder out;
  out.append(text, begin, end);
  return runtime.text(out.take());
}

Value strip_text(Runtime& runtime, const Text& text, const Text* characters, StripSides sides) {
  runtime.charge_bytes(text.bytes.size());
  const std::vector<char32_t> set =
      characters == nullptr ? std::vector<char32_t>{} : code_points(characters->bytes);
  const auto goes = [&](char32_t c) {
    if (characters == nullptr) return is_space(c);
    runtime.charge_bytes(set.size());
    return std::find(set.begin(), set.end(), c) != set.end();
  };
  size_t begin = 0;
  while (sides != StripSides::kRight && begin < text.bytes.size()) {
    size_t next = begin;
    if (!goes(next_code_point(text.bytes, next))) break;
    begin = next;
  }
  size_t end = begin;
  if (sides == StripSides::kLeft) {
    end = text.bytes.size();
  } else {
    for (size_t at = begin; at < text.bytes.size();) {
      if (!goes(next_code_point(text.bytes, at))) end = at;
    }
  }
  return part_of(runtime, text, begin, end);
}

Value replace_text(Runtime& runtime, const Text& text, const Text& from, const Text& to,
                   int64_t limit) {
  runtime.charge_bytes(text.bytes.size());
  TextBuilder out;
  size_t at = 0;
  if (from.bytes.empty()) {  // between all characters and at both ends
    while (limit != 0) {
      runtime.charge_bytes(to.bytes.size() + 1);
      out.append(to);
      --limit;
      if (at >= text.bytes.size()) break;
      const size_t begin = at;
      next_code_point(text.bytes, at);
      out.append(text, begin, at);
    }
  } else {
    while (limit != 0) {
      const size_t found = text.bytes.find(from.bytes, at);
      if (found == std::string::npos) break;
      runtime.charge_bytes(to.bytes.size() + 1);
      out.append(text, at, found);
      out.append(to);
      at = found + from.bytes.size();
      --limit;
    }
  }
  if (at < text.bytes.size()) out.append(text, at, text.bytes.size());
  return runtime.text(out.take());
}

Value split_text(Runtime& runtime, const Text& text, const Text* separator, int64_t limit,
                 bool from_right) {
  runtime.charge_bytes(text.bytes.size());
  if (separator != nullptr && separator->bytes.empty()) fail("split needs a separator");
  const auto ranges = separator == nullptr
                          ? space_split(text.bytes, limit, from_right)
                          : separator_split(text.bytes, separator->bytes, limit, from_right);
  std::vector<Value> parts;
  parts.reserve(ranges.size());
  for (size_t i = 0; i < ranges.size(); ++i) {
    Value part = part_of(runtime, text, ranges[i].begin, ranges[i].end);
    // The unsplit rest of a limited split at white space loses the space at its outer end.
    const bool rest = separator == nullptr && limit >= 0 && from_right && i == 0;
    parts.push_back(rest ? strip_text(runtime, *part.as_text(), nullptr, StripSides::kRight)
                         : part);
  }
  return runtime.list(std::move(parts));
}

std::vector<Value> split_lines(Runtime& runtime, const Text& text, bool keep_ends) {
  runtime.charge_bytes(text.bytes.size());
  std::vector<Value> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.bytes.size();) {
    const size_t end = at;
    const char32_t c = next_code_point(text.bytes, at);
    if (!is_line_break(c)) continue;
    if (c == '\r' && at < text.bytes.size() && text.bytes[at] == '\n') ++at;
    lines.push_back(part_of(runtime, text, begin, keep_ends ? at : end));
    begin = at;
  }
  if (begin < text.bytes.size()) lines.push_back(part_of(runtime, text, begin, text.bytes.size()));
  return lines;
}

Value map_case(Runtime& runtime, const Text& text, CaseMap map) {
  runtime.charge_bytes(text.bytes.size() * 3);
  UserMarks marks(text);
  TextBuilder out;
  bool after_cased = false;
  for (size_t at = 0; at < text.bytes.size();) {
    const bool user = marks.at(at);
    const char32_t c = next_code_point(text.bytes, at);
    std::string mapped;
    const CaseMap here = map == CaseMap::kTitle && after_cased ? CaseMap::kLower : map;
    append_mapped(mapped, c, here);
    after_cased = is_upper(c) || is_lower(c);
    out.append(mapped, user);
  }
  return runtime.text(out.take());
}

Value capitalize(Runtime& runtime, const Text& text) {
  runtime.charge_bytes(text.bytes.size() * 3);
  UserMarks marks(text);
  TextBuilder out;
  for (size_t at = 0; at < text.bytes.size();) {
    const bool first = at == 0;
    const bool user = marks.at(at);
    std::string mapped;
    append_mapped(mapped, next_code_point(text.bytes, at),
                  first ? CaseMap::kTitle : CaseMap::kLower);
    out.append(mapped, user);
  }
  return runtime.text(out.take());
}

Value join_items(Runtime& runtime, const Text& separator, const std::vector<Value>& items) {
  TextBuilder out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) {
      runtime.charge_bytes(separator.bytes.size());
      out.append(separator);
    }
    append_text(runtime, out, items[i]);
  }
  return runtime.text(out.take());
}

Value pad_text(Runtime& runtime, const Text& text, int64_t width, const Text* fill,
               int left_halves) {
  if (fill != nullptr && count_code_points(fill->bytes) != 1) {
    fail("the fill character must be exactly one character long");
  }
  const auto length = static_cast<int64_t>(count_code_points(text.bytes));
  const uint64_t padding = width > length ? static_cast<uint64_t>(width - length) : 0;
  runtime.charge_bytes(text.bytes.size());
  runtime.charge_bytes(padding);
  runtime.charge_bytes(fill == nullptr ? 0 : padding * fill->bytes.size());
  // str.center puts the odd space left only if the width is odd too.
  const uint64_t left = left_halves == 1
                            ? padding / 2 + (padding & static_cast<uint64_t>(width) & 1)
                            : padding * static_cast<uint64_t>(left_halves) / 2;
  TextBuilder out;
  const auto put = [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      fill == nullptr ? out.append(" ", false) : out.append(*fill);
    }
  };
  put(left);
  out.append(text);
  put(padding - left);
  return runtime.text(out.take());
}

bool all_upper(std::string_view text) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (is_lower(c)) return false;
    any |= is_upper(c);
  }
  return any;
}

bool all_lower(std::string_view text) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (is_upper(c)) return false;
    any |= is_lower(c);
  }
  return any;
}

}  // namespace quern::chat
