// Pages of keys and values: one allocation, layer after layer, keys before values.
#include <cstring>
#include <string>

#include "config/base/checked.h"
#include "models/graph/forward.h"
#include "models/graph/weights.h"

namespace quern::graph {
namespace {

// Keys, or values, of one layer in one page. A multiple of 64 bytes, as a page has 32 tokens.
uint64_t bytes_per_half(const arch::HyperParams& hyper, ops::KvFormat format) {
  return static_cast<uint64_t>(hyper.n_kv_heads *
                               ops::kv_head_bytes(format, kPageTokens, hyper.head_dim));
}

class PagedStorage final : public KvStorage {
 public:
  PagedStorage(std::unique_ptr<backend::Buffer> buffer, const arch::HyperParams& hyper,
               ops::KvFormat format, int32_t n_pages)
      : buffer_(std::move(buffer)),
        half_bytes_(bytes_per_half(hyper, format) * static_cast<uint64_t>(n_pages)),
        n_layers_(hyper.n_layers),
        n_kv_heads_(static_cast<int32_t>(hyper.n_kv_heads)),
        head_dim_(static_cast<int32_t>(hyper.head_dim)),
        format_(format),
        n_pages_(n_pages) {}

  ops::KvLayerView layer(int index) override {
    CHECK(index >= 0 && index < n_layers_);
    std::byte* keys = buffer_->data() + 2 * half_bytes_ * static_cast<uint64_t>(index);
    return {.keys = keys,
            .values = keys + half_bytes_,
            .format = format_,
            .page_tokens = kPageTokens,
            .n_kv_heads = n_kv_heads_,
            .head_dim = head_dim_};
  }
  void copy_page(int32_t from, int32_t to) override {
    for (uint64_t half = 0; half < n_halves(); ++half) {
      std::memcpy(half_of(half, to), half_of(half, from), half_page_bytes());
    }
  }
  void read_page(int32_t page, std::span<std::byte> out) override {
    CHECK(out.size() == n_halves() * half_page_bytes());
    for (uint64_t half = 0; half < n_halves(); ++half) {
      std::memcpy(out.data() + half * half_page_bytes(), half_of(half, page), half_page_bytes());
    }
  }
  void write_page(int32_t page, std::span<const std::byte> bytes) override {
    CHECK(bytes.size() == n_halves() * half_page_bytes());
    for (uint64_t half = 0; half < n_halves(); ++half) {
      std::memcpy(half_of(half, page), bytes.data() + half * half_page_bytes(), half_page_bytes());
    }
  }
  int32_t n_pages() const override { return n_pages_; }
  ops::KvFormat format() const override { return format_; }

 private:
  // Keys and values of all layers.
  uint64_t n_halves() const { return 2 * static_cast<uint64_t>(n_layers_); }
  uint64_t half_page_bytes() const { return half_bytes_ / static_cast<uint64_t>(n_pages_); }
  std::byte* half_of(uint64_t half, int32_t page) {
    CHECK(page >= 0 && page < n_pages_);
    return buffer_->data() + half * half_bytes_ + static_cast<uint64_t>(page) * half_page_bytes();
  }

  std::unique_ptr<backend::Buffer> buffer_;
  uint64_t half_bytes_;  // keys, or values, of one layer in all pages
  int64_t n_layers_;
  int32_t n_kv_heads_;
  int32_t head_dim_;
  ops::KvFormat format_;
  int32_t n_pages_;
};

}  // namespace

uint64_t KvStorage::bytes_per_page(const DecoderWeights& weights, ops::KvFormat format) {
  return 2 * static_cast<uint64_t>(weights.hyper.n_layers) * bytes_per_half(weights.hyper, format);
}

Result<std::unique_ptr<KvStorage>> KvStorage::create(backend::Backend& backend,
                                                     const DecoderWeights& weights,
                                                     ops::KvFormat format, int32_t n_pages) {
  CHECK(n_pages > 0);
  if (!ops::kv_format_fits(format, weights.hyper.head_dim)) {
    return Error(ErrorKind::kUnsupported,
                 "The heads of this model hold " + std::to_string(weights.hyper.head_dim) +
                     " values, which are not whole blocks of 32, so keys and values cannot be kept "
                     "in q8_0 or q4_0; use --kv-format f16.");
  }
  const auto bytes = checked_mul(bytes_per_page(weights, format), static_cast<uint64_t>(n_pages));
  if (!bytes) {
    return Error(ErrorKind::kOutOfMemory, "a KV cache of " + std::to_string(n_pages) +
                                              " pages exceeds any memory; ask for fewer pages");
  }
  QUERN_ASSIGN_OR_RETURN(auto buffer, backend.allocate(*bytes, "KV cache"));
  return std::unique_ptr<KvStorage>(
      std::make_unique<PagedStorage>(std::move(buffer), weights.hyper, format, n_pages));
}

}  // namespace quern::graph
