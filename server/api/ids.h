// Random names and seeds, and times as the dialects write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quern::api {

// `prefix` and 24 random letters and digits.
std::string random_id(std::string_view prefix);
uint64_t random_seed();

int64_t unix_seconds();
// RFC 3339 in UTC with nanoseconds: "2026-01-31T12:00:00.000000000Z". Now, or the given second.
std::string rfc3339_now();
std::string rfc3339(int64_t unix_s, int64_t nanoseconds = 0);

}  // namespace quern::api
