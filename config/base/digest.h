// SHA-256 (FIPS 180-4) of bytes, for names that depend on contents. OpenSSL computes it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace quern {

using Digest = std::array<uint8_t, 32>;

// Of bytes that come in parts.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  Sha256& add(std::span<const std::byte> bytes);
  Sha256& add(std::string_view text);
  // A number in 8 bytes, lowest first, so that equal sums of parts mean equal parts.
  Sha256& add_number(uint64_t value);
  // Once; nothing may be added after it.
  Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string to_hex(std::span<const uint8_t> bytes);
std::string sha256_hex(std::string_view text);

}  // namespace quern
