// A chain: each page's name covers the name of the page before it.
#include "engine/store/page_keys.h"

#include <algorithm>

namespace quern::engine {
namespace {

// Rises when the meaning of a stored page changes without anything else telling.
constexpr uint64_t kStoreVersion = 1;

void add_text(Sha256& hash, std::string_view text) { hash.add_number(text.size()).add(text); }

}  // namespace

Digest origin_digest(const PageOrigin& origin) {
  Sha256 hash;
  add_text(hash, "quern computed page");
  hash.add_number(kStoreVersion).add(std::as_bytes(std::span(origin.model)));
  add_text(hash, origin.contract);
  add_text(hash, origin.backend);
  add_text(hash, origin.kv_format);
  hash.add_number(static_cast<uint64_t>(origin.context_tokens));
  hash.add_number(static_cast<uint64_t>(origin.page_tokens));
  return hash.add_number(origin.page_bytes).finish();
}

std::vector<Digest> page_digests(const Digest& origin, std::string_view share,
                                 std::span<const TokenId> tokens, int32_t page_tokens,
                                 size_t max_pages, std::string_view adapters) {
  Sha256 start;
  start.add(std::as_bytes(std::span(origin)));
  add_text(start, share);
  if (!adapters.empty()) add_text(start, adapters);
  Digest before = start.finish();
  const auto width = static_cast<size_t>(page_tokens);
  std::vector<Digest> out;
  out.reserve(std::min(tokens.size() / width, max_pages));
  for (size_t i = 0; i < max_pages && (i + 1) * width <= tokens.size(); ++i) {
    Sha256 hash;
    hash.add(std::as_bytes(std::span(before)));
    for (const TokenId token : tokens.subspan(i * width, width)) {
      hash.add_number(static_cast<uint64_t>(token));
    }
    before = hash.finish();
    out.push_back(before);
  }
  return out;
}

}  // namespace quern::engine
