// Builds GGUF bytes field by field, so that every field can be made wrong. Independent of the
// writer under test on purpose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quern::gguf::raw {

template <typename T>
std::string le(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}
inline std::string text(std::string_view value) {
  return le<uint64_t>(value.size()) + std::string(value);
}
// A pair: key, kind code, and the value's bytes.
inline std::string pair(std::string_view key, uint32_t kind, const std::string& value) {
  return text(key) + le(kind) + value;
}
inline std::string pair_u32(std::string_view key, uint32_t value) {
  return pair(key, 4, le(value));
}
inline std::string pair_text(std::string_view key, std::string_view value) {
  return pair(key, 8, text(value));
}
inline std::string array(uint32_t kind, uint64_t n, const std::string& elements) {
  return le(kind) + le(n) + elements;
}
inline std::string tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t format,
                          uint64_t offset) {
  std::string out = text(name) + le(static_cast<uint32_t>(dims.size()));
  for (const uint64_t n : dims) out += le(n);
  return out + le(format) + le(offset);
}

struct File {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> n_tensors;  // the true number unless set
  std::optional<uint64_t> n_pairs;
  std::vector<std::string> pairs;
  std::vector<std::string> tensors;
  uint64_t alignment = 32;
  std::string data;

  // Everything before the padding.
  std::string header() const {
    std::string out = magic + le(version) + le(n_tensors.value_or(tensors.size())) +
                      le(n_pairs.value_or(pairs.size()));
    for (const auto& p : pairs) out += p;
    for (const auto& t : tensors) out += t;
    return out;
  }
  std::string bytes() const {
    std::string out = header();
    if (!tensors.empty()) out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }
};

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// A valid small file: all kinds, arrays, three tensors (F32 4x2, F16 8, Q8_0 32x2), 32-aligned.
inline File small_file() {
  File file;
  file.pairs = {pair_text("general.architecture", "llama"),
                pair("a.u8", 0, le<uint8_t>(200)),
                pair("a.i8", 1, le<int8_t>(-5)),
                pair("a.u16", 2, le<uint16_t>(60000)),
                pair("a.i16", 3, le<int16_t>(-30000)),
                pair_u32("a.u32", 4'000'000'000u),
                pair("a.i32", 5, le<int32_t>(-7)),
                pair("a.f32", 6, le(1.5f)),
                pair("a.bool", 7, le<uint8_t>(1)),
                pair("a.u64", 10, le<uint64_t>(1ull << 63)),
                pair("a.i64", 11, le<int64_t>(-1)),
                pair("a.f64", 12, le(2.25)),
                pair("b.i32", 9, array(5, 3, le(1) + le(2) + le(3))),
                pair("b.f32", 9, array(6, 2, le(1.0f) + le(2.0f))),
                pair("b.bool", 9, array(7, 2, std::string("\x01\x00", 2))),
                pair("b.text", 9, array(8, 2, text("one") + text(""))),
                pair("b.empty", 9, array(8, 0, ""))};
  file.tensors = {tensor("t.f32", {4, 2}, 0, 0), tensor("t.f16", {8}, 1, 32),
                  tensor("t.q8", {32, 2}, 8, 64)};
  file.data = std::string(64 + 96, '\x11');
  return file;
}

}  // namespace quern::gguf::raw
