// Builds the bytes of safetensors files by hand, sound or not.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace quern::safetensors::raw {

inline std::string le(uint64_t value) {
  std::string out(sizeof(value), '\0');
  std::memcpy(out.data(), &value, sizeof(value));
  return out;
}

inline std::string file(const std::string& header, const std::string& data) {
  return le(header.size()) + header + data;
}

// "NAME":{...} for a header.
inline std::string entry(const std::string& name, const std::string& dtype,
                         const std::string& shape, uint64_t begin, uint64_t end) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

// Two tensors: "a", F32 [2, 3], and "b", U8 [4].
inline std::string small_file() {
  return file("{" + entry("a", "F32", "[2,3]", 0, 24) + "," + entry("b", "U8", "[4]", 24, 28) +
                  ",\"__metadata__\":{\"format\":\"pt\"}}  ",
              std::string(24, '\x11') + "wxyz");
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace quern::safetensors::raw
