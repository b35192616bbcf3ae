// Checked arithmetic for sizes that come from files and requests, and little-endian reads.
//
// Rule: a product or sum of outside numbers is formed only here, and a length is compared with what
// remains before anything is allocated or copied.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

namespace quern {

static_assert(std::endian::native == std::endian::little, "GGUF readers here assume little-endian");

// a + b, a * b and a rounded up to a multiple of `align` (a power of two), or nothing on overflow.
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

inline std::optional<uint64_t> checked_align_up(uint64_t a, uint64_t align) {
  const auto padded = checked_add(a, align - 1);
  if (!padded) return std::nullopt;
  return *padded & ~(align - 1);
}

// Whether [offset, offset + size) lies inside [0, available).
inline bool range_fits(uint64_t offset, uint64_t size, uint64_t available) {
  return offset <= available && size <= available - offset;
}

// Reads a trivially copyable value at any alignment. The caller has checked the bounds.
template <typename T>
T load_unaligned(const void* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Converts between integer types, or nothing if the value does not fit.
template <typename To, typename From>
std::optional<To> checked_cast(From value) {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  if (!std::in_range<To>(value)) return std::nullopt;
  return static_cast<To>(value);
}

}  // namespace quern
