#include "models/graph/scratch.h"

#include <algorithm>
#include <string>

#include "config/base/check.h"
#include "config/base/checked.h"

namespace quern::graph {
namespace {

// Hands out 64-byte aligned pieces of a buffer that does not exist yet: first offsets, then
// pointers. Widths are bounded by the hyper-parameter limits (below 2^32 values) and rows by
// int32 times the experts used, so all of this is below 2^63 values; bytes and sums are checked.
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

// The feed-forward part's region of `layout`; pointers follow once there is memory.
struct FeedForwardOffsets {
  uint64_t gate_up = 0;
  uint64_t router_logits = 0;
  uint64_t expert_outputs = 0;
  uint64_t shared_output = 0;
  uint64_t shared_gate = 0;
  uint64_t experts = 0;
  uint64_t weights = 0;
  uint64_t places = 0;
  uint64_t sources = 0;
  uint64_t firsts = 0;
};

FeedForwardOffsets add_feed_forward(Layout& layout, const arch::HyperParams& hyper,
                                    int64_t max_tokens) {
  FeedForwardOffsets at;
  if (hyper.n_experts == 0) {
    at.gate_up = layout.add(max_tokens, 2 * hyper.n_feed_forward);
    return at;
  }
  const int64_t n_pairs = max_tokens * hyper.n_experts_used;
  at.gate_up =
      layout.add(max_tokens, std::max(hyper.n_experts_used * 2 * hyper.n_expert_feed_forward,
                                      2 * hyper.n_shared_feed_forward));
  at.router_logits = layout.add(max_tokens, hyper.n_experts);
  at.expert_outputs = layout.add(n_pairs, hyper.n_embedding);
  if (hyper.n_shared_feed_forward > 0) {
    at.shared_output = layout.add(max_tokens, hyper.n_embedding);
    at.shared_gate = layout.add(max_tokens, 1);
  }
  static_assert(sizeof(int32_t) == sizeof(float));
  at.experts = layout.add(n_pairs, 1);
  at.weights = layout.add(n_pairs, 1);
  at.places = layout.add(n_pairs, 1);
  at.sources = layout.add(n_pairs, 1);
  at.firsts = layout.add(hyper.n_experts + 1, 1);
  return at;
}

void set_feed_forward(Scratch& out, const arch::HyperParams& hyper, const FeedForwardOffsets& at) {
  const auto floats = [&](uint64_t offset) {
    return reinterpret_cast<float*>(out.buffer->data() + offset);
  };
  const auto integers = [&](uint64_t offset) {
    return reinterpret_cast<int32_t*>(out.buffer->data() + offset);
  };
  out.gate_up = floats(at.gate_up);
  if (hyper.n_experts == 0) return;
  out.router_logits = floats(at.router_logits);
  out.expert_outputs = floats(at.expert_outputs);
  if (hyper.n_shared_feed_forward > 0) {
    out.shared_output = floats(at.shared_output);
    out.shared_gate = floats(at.shared_gate);
  }
  out.routing = {.n_experts = hyper.n_experts,
                 .n_used = hyper.n_experts_used,
                 .experts = integers(at.experts),
                 .weights = floats(at.weights),
                 .places = integers(at.places),
                 .sources = integers(at.sources),
                 .firsts = integers(at.firsts)};
}

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
  const FeedForwardOffsets feed_forward = add_feed_forward(ffn, hyper, max_tokens);
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
  set_feed_forward(out, hyper, feed_forward);
  return out;
}

}  // namespace quern::graph
