// libFuzzer target: any bytes as saved hardware profile (and thereby as JSON).
//
// Promises: a profile is refused with a sentence or accepted; what was accepted is written and read
// back the same.
#include <string>

#include "config/hardware/profile.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using quern::fuzz::require;
  const auto profile = quern::hardware::profile_from_json(quern::fuzz::text_of(data, size));
  if (!profile.ok()) {
    require(!profile.error().message().empty(), "a refusal says why");
    return 0;
  }
  require(profile->measured.threads >= 0 && profile->measured.read_bandwidth_gbs >= 0,
          "measurements are not negative");
  const std::string written = quern::hardware::profile_to_json(*profile);
  const auto again = quern::hardware::profile_from_json(written);
  require(again.ok(), "a written profile is accepted");
  require(quern::hardware::profile_to_json(*again) == written, "a profile reads back the same");
  return 0;
}
