#include "models/graph/scratch.h"

#include <algorithm>
#include <string>

#include "config/base/check.h"
#include "config/base/checked.h"

namespace quern::graph {
namespace {

// Hands out 64-byte aligned pieces of a buffer that does not exist yet: first offsets, then
// pointers. Widths are bounded by the hyper-parameter limits (below 2^32 values) and rows by
// int32, so a piece is below 2^65 bytes only in theory; sums are checked all the same.
class Layout {
 public:
  uint64_t add(int64_t n_rows, int64_t n_cols) {
    const uint64_t offset = total_;
    const auto values = checked_mul(static_cast<uint64_t>(n_rows), static_cast<uint64_t>(n_cols));
    const auto bytes = values ? checked_mul(*values, sizeof(float)) : std::nullopt;
    const auto padded = bytes ? checked_align_up(*bytes, 64) : std::nullopt;
    const auto sum = padded ? checked_add(total_, *padded) : std::nullopt;
    overflow_ = overflow_ || !sum;
    total_ = sum.value_or(total_);
    return offset;
  }
  uint64_t total() const { return total_; }
  bool overflow() const { return overflow_; }

 private:
  uint64_t total_ = 0;
  bool overflow_ = false;
};

}  // namespace

Result<Scratch> make_scratch(backend::Backend& backend, const arch::HyperParams& hyper,
                             int32_t max_tokens, int32_t max_outputs) {
  CHECK(max_tokens >= 1 && max_outputs >= 0);
  const int64_t qkv_width = hyper.query_width() + 2 * hyper.kv_width();
  // An empty step output still gets valid pointers.
  const int64_t outputs = std::max(max_outputs, 1);
  Layout layout;
  const uint64_t hidden = layout.add(max_tokens, hyper.n_embedding);
  const uint64_t normed = layout.add(max_tokens, hyper.n_embedding);
  const uint64_t cosine = layout.add(max_tokens, hyper.n_rot / 2);
  const uint64_t sine = layout.add(max_tokens, hyper.n_rot / 2);
  const uint64_t selected_hidden = layout.add(outputs, hyper.n_embedding);
  const uint64_t selected_attended = layout.add(outputs, hyper.query_width());
  const uint64_t logits = layout.add(outputs, hyper.n_vocab);
  Layout attention = layout;
  const uint64_t qkv = attention.add(max_tokens, qkv_width);
  const uint64_t attended = attention.add(max_tokens, hyper.query_width());
  Layout ffn = layout;
  const uint64_t gate_up = ffn.add(max_tokens, 2 * hyper.n_feed_forward);
  if (attention.overflow() || ffn.overflow()) {
    return Error(ErrorKind::kOutOfMemory, "a step of " + std::to_string(max_tokens) +
                                              " tokens exceeds any memory; ask for smaller steps");
  }
  Scratch out;
  QUERN_ASSIGN_OR_RETURN(out.buffer, backend.allocate(std::max(attention.total(), ffn.total()),
                                                      "scratch memory of a step"));
  const auto at = [&](uint64_t offset) {
    return reinterpret_cast<float*>(out.buffer->data() + offset);
  };
  out.hidden = at(hidden);
  out.normed = at(normed);
  out.cosine = at(cosine);
  out.sine = at(sine);
  out.selected_hidden = at(selected_hidden);
  out.selected_attended = at(selected_attended);
  out.logits = at(logits);
  out.qkv = at(qkv);
  out.attended = at(attended);
  out.gate_up = at(gate_up);
  return out;
}

}  // namespace quern::graph
