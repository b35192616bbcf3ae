// Randomness comes from the kernel; times from the real-time clock (for display only).
#include "server/api/ids.h"

#include <sys/random.h>

#include <array>
#include <chrono>
#include <ctime>

namespace quern::api {
namespace {

std::string padded(int64_t value, size_t width) {
  std::string digits = std::to_string(value);
  if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
  return digits;
}

}  // namespace

std::string random_id(std::string_view prefix) {
  static constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::array<unsigned char, 24> bytes{};
  [[maybe_unused]] const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
  std::string out(prefix);
  for (const unsigned char byte : bytes) out.push_back(kLetters[byte % kLetters.size()]);
  return out;
}

uint64_t random_seed() {
  uint64_t seed = 0;
  const ssize_t got = getrandom(&seed, sizeof(seed), 0);
  if (got != static_cast<ssize_t>(sizeof(seed))) {
    seed = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  }
  // 53 bits: a client whose JSON numbers are doubles can send the seed back.
  return seed >> 11;
}

int64_t unix_seconds() { return static_cast<int64_t>(std::time(nullptr)); }

std::string rfc3339(int64_t unix_s, int64_t nanoseconds) {
  const auto seconds = static_cast<std::time_t>(unix_s);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return padded(utc.tm_year + 1900, 4) + "-" + padded(utc.tm_mon + 1, 2) + "-" +
         padded(utc.tm_mday, 2) + "T" + padded(utc.tm_hour, 2) + ":" + padded(utc.tm_min, 2) + ":" +
         padded(utc.tm_sec, 2) + "." + padded(nanoseconds, 9) + "Z";
}

std::string rfc3339_now() {
  const int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
  return rfc3339(ns / 1'000'000'000, ns % 1'000'000'000);
}

}  // namespace quern::api
