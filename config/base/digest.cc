// Over OpenSSL's EVP interface; its calls fail only when memory runs out.
#include "config/base/digest.h"

#include <openssl/evp.h>

#include <new>

#include "config/base/check.h"

namespace quern {

struct Sha256::Context {
  EVP_MD_CTX* raw = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(raw); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (context_->raw == nullptr || EVP_DigestInit_ex(context_->raw, EVP_sha256(), nullptr) != 1) {
    throw std::bad_alloc();
  }
}

Sha256::~Sha256() = default;

Sha256& Sha256::add(std::span<const std::byte> bytes) {
  CHECK(EVP_DigestUpdate(context_->raw, bytes.data(), bytes.size()) == 1);
  return *this;
}

Sha256& Sha256::add(std::string_view text) { return add(std::as_bytes(std::span(text))); }

Sha256& Sha256::add_number(uint64_t value) {
  std::array<std::byte, 8> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
  return add(bytes);
}

Digest Sha256::finish() {
  Digest out{};
  unsigned size = 0;
  CHECK(EVP_DigestFinal_ex(context_->raw, out.data(), &size) == 1 && size == out.size());
  return out;
}

std::string to_hex(std::span<const uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const uint8_t byte : bytes) {
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

std::string sha256_hex(std::string_view text) { return to_hex(Sha256().add(text).finish()); }

}  // namespace quern
