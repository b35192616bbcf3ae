// See memory.h.
#include "engine/sample/memory.h"

#include "engine/sample/mirostat.h"

namespace quern::engine {

SampleMemory::SampleMemory(const SamplingParams& params) : mirostat_mu_(mirostat_start(params)) {
  if (params.dry_multiplier == 0.0F || params.dry_window == 0) return;
  if (!params.dry_breakers.empty()) {
    breakers_.emplace(params.dry_breakers);
    return;
  }
  breakers_.emplace(std::vector<std::string>(kUsualDryBreakers.begin(), kUsualDryBreakers.end()));
}

}  // namespace quern::engine
