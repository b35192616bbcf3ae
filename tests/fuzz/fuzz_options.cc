// libFuzzer target: any bytes as configuration file.
//
// Promises: a file is refused with a sentence that names it, or gives settings that are resolved
// or refused the same way; nothing else happens.
#include <string>

#include "config/options/options.h"
#include "tests/fuzz/require.h"

namespace {

using quern::fuzz::require;
constexpr std::string_view kLabel = "fuzz.toml";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = quern::fuzz::text_of(data, size);
  const auto bytes = quern::options::parse_bytes(text);
  require(!bytes.ok() || *bytes >= 0, "a number of bytes is not negative");
  const auto settings = quern::options::parse_config_file(text, kLabel);
  if (!settings.ok()) {
    require(settings.error().message().starts_with(kLabel), "an error names the file");
    return 0;
  }
  quern::options::Sources sources;
  sources.file_label = kLabel;
  sources.file = *settings;
  const auto resolved = quern::options::resolve(sources);
  if (!resolved.ok()) {
    require(resolved.error().message().find(kLabel) != std::string::npos,
            "an error names the file");
    return 0;
  }
  for (const auto& [key, value] : *settings) {
    require(resolved->origin.find(key) != resolved->origin.end(), "every setting is an option");
  }
  return 0;
}
