// Sizing of the KV cache.
#include "engine/run/memory_plan.h"

#include <algorithm>
#include <limits>
#include <string>

#include "config/base/check.h"
#include "config/base/checked.h"
#include "engine/kv/page_table.h"

namespace quern::engine {
namespace {

// A shorter context than this is not offered without being asked for.
constexpr int64_t kMinContext = 256;

Error too_small(const KvDemand& demand, int64_t context, int64_t n_pages) {
  const uint64_t needed = static_cast<uint64_t>(n_pages) * demand.bytes_per_page;
  const bool fixed = demand.kv_bytes_option > 0;
  const uint64_t there = fixed ? demand.kv_bytes_option : demand.available_bytes;
  return Error(ErrorKind::kOutOfMemory,
               "the KV cache of one context of " + std::to_string(context) + " tokens takes " +
                   std::to_string(needed) + " bytes, " + (fixed ? "allowed" : "available") +
                   " are " + std::to_string(there) + "; " +
                   (fixed ? "allow more bytes" : "free memory") +
                   ", shorten the context or choose a smaller KV format");
}

}  // namespace

Result<KvPlan> plan_kv(const KvDemand& demand) {
  CHECK(demand.context_trained >= 1 && demand.bytes_per_page >= 1 && demand.page_tokens >= 1);
  CHECK(demand.max_sequences >= 1);
  if (demand.context_option > demand.context_trained) {
    return Error(ErrorKind::kInvalidInput, "a context of " + std::to_string(demand.context_option) +
                                               " tokens was asked for, the model was trained for " +
                                               std::to_string(demand.context_trained) +
                                               "; ask for at most that many");
  }
  const bool asked = demand.context_option > 0;
  int64_t context = asked ? demand.context_option : demand.context_trained;
  const int64_t per_context = pages_for(context, demand.page_tokens);
  const uint64_t wanted = static_cast<uint64_t>(per_context) * demand.max_sequences;
  const uint64_t bytes =
      demand.kv_bytes_option > 0 ? demand.kv_bytes_option : demand.available_bytes;
  uint64_t n_pages = std::min(bytes / demand.bytes_per_page, wanted);
  n_pages = std::min<uint64_t>(n_pages, std::numeric_limits<int32_t>::max());

  if (n_pages < static_cast<uint64_t>(per_context)) {
    const int64_t least = asked ? context : std::min(kMinContext, context);
    const int64_t least_pages = pages_for(least, demand.page_tokens);
    if (n_pages < static_cast<uint64_t>(least_pages)) return too_small(demand, least, least_pages);
    if (asked) return too_small(demand, context, per_context);
    context = static_cast<int64_t>(n_pages) * demand.page_tokens;
  }
  return KvPlan{static_cast<int32_t>(n_pages), context, n_pages * demand.bytes_per_page};
}

}  // namespace quern::engine
