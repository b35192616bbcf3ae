// See deltas.h.
#include "models/graph/deltas.h"

#include <algorithm>
#include <array>
#include <utility>

#include "config/base/check.h"

namespace quern::graph {
namespace {

// Values that the largest step needs of each region. Ranks are bounded by the loader, widths by the
// hyper-parameter limits and rows by int32, so products stay below 2^63.
struct Sizes {
  int64_t low = 0;
  int64_t product = 0;

  static constexpr int64_t kAlign = 16;  // floats; 64 bytes
  static int64_t padded(int64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }
  uint64_t bytes() const {
    const int64_t floats = std::max(padded(low) + padded(product), kAlign);
    return static_cast<uint64_t>(floats) * sizeof(float);
  }
};

Sizes sizes_of(const DecoderWeights& weights, const AdapterList& adapters, int32_t max_tokens,
               int32_t max_outputs) {
  Sizes sizes;
  for (const auto& adapter : adapters) {
    CHECK(adapter->base == &weights);
    for (const auto& [weight, delta] : adapter->deltas) {
      const int64_t rows = weight == weights.output() ? max_outputs : max_tokens;
      sizes.low = std::max(sizes.low, rows * delta.rank());
      sizes.product = std::max(sizes.product, rows * delta.n_out());
    }
  }
  return sizes;
}

}  // namespace

Result<std::unique_ptr<Deltas>> Deltas::create(backend::Backend& backend,
                                               const DecoderWeights& weights, AdapterList adapters,
                                               int32_t max_tokens, int32_t max_outputs) {
  const Sizes sizes = sizes_of(weights, adapters, max_tokens, max_outputs);
  std::unique_ptr<Deltas> out(new Deltas(backend, std::move(adapters)));
  QUERN_ASSIGN_OR_RETURN(out->scratch_,
                         backend.allocate(sizes.bytes(), "scratch memory of adapters"));
  out->low_ = reinterpret_cast<float*>(out->scratch_->data());
  out->product_ = out->low_ + Sizes::padded(sizes.low);
  return out;
}

void Deltas::begin(const ops::StepInputs& inputs) {
  n_tokens_ = static_cast<int64_t>(inputs.tokens.size());
  all_.clear();
  selected_.clear();
  // Adds rows to the runs of their adapters; sequences come in the order of their rows.
  const auto note = [](std::vector<Run>& runs, const ops::AdapterUse& use, int64_t row, int64_t n) {
    const auto same = std::find_if(runs.rbegin(), runs.rend(), [&](const Run& run) {
      return run.adapter == use.adapter && run.scale == use.scale &&
             run.first_row + run.n_rows == row;
    });
    if (same != runs.rend()) {
      same->n_rows += n;
    } else {
      runs.push_back({use.adapter, use.scale, row, n});
    }
  };
  int64_t output = 0;
  for (const ops::SequenceSlice& sequence : inputs.sequences) {
    const int64_t first_output = output;
    const int64_t end = int64_t{sequence.first_token} + sequence.n_tokens;
    while (output < std::ssize(inputs.outputs) &&
           inputs.outputs[static_cast<size_t>(output)] < end) {
      ++output;
    }
    for (const ops::AdapterUse& use : sequence.adapters) {
      CHECK(use.adapter >= 0 && use.adapter < std::ssize(adapters_));
      if (use.scale == 0) continue;
      note(all_, use, sequence.first_token, sequence.n_tokens);
      if (output > first_output) note(selected_, use, first_output, output - first_output);
    }
  }
  // A row's adapters are added in their order, whoever its neighbours are.
  const auto by_adapter = [](const Run& a, const Run& b) { return a.adapter < b.adapter; };
  std::stable_sort(all_.begin(), all_.end(), by_adapter);
  std::stable_sort(selected_.begin(), selected_.end(), by_adapter);
}

bool Deltas::change(const dispatch::Weight* weight) const {
  return std::any_of(all_.begin(), all_.end(), [&](const Run& run) {
    return adapters_[static_cast<size_t>(run.adapter)]->find(weight) != nullptr;
  });
}

void Deltas::add(const dispatch::Weight* weight, const float* x, int64_t x_stride, float* y,
                 int64_t y_stride, int64_t n_rows) {
  for (const Run& run : n_rows == n_tokens_ ? all_ : selected_) {
    const LowRank* delta = adapters_[static_cast<size_t>(run.adapter)]->find(weight);
    if (delta == nullptr) continue;
    add_run(run, *delta, x + run.first_row * x_stride, x_stride, y + run.first_row * y_stride,
            y_stride);
  }
}

void Deltas::add_run(const Run& run, const LowRank& delta, const float* x, int64_t x_stride,
                     float* y, int64_t y_stride) {
  multiply(*delta.a, x, x_stride, low_, run.n_rows);
  backend_.scale({.x = low_, .factor = run.scale * delta.scale, .n = run.n_rows * delta.rank()});
  multiply(*delta.b, low_, delta.rank(), product_, run.n_rows);
  backend_.add({.x = product_,
                .y = y,
                .n = delta.n_out(),
                .n_rows = run.n_rows,
                .x_stride = delta.n_out(),
                .y_stride = y_stride});
}

void Deltas::multiply(const dispatch::Weight& weight, const float* x, int64_t x_stride, float* y,
                      int64_t n_rows) {
  const std::array<ops::MatmulOutput, 1> outputs = {ops::MatmulOutput{
      .weight = &weight, .bias = nullptr, .y = y, .y_stride = weight.view.n_rows}};
  backend_.matmul({.x = x, .x_stride = x_stride, .n_rows = n_rows, .outputs = outputs});
}

}  // namespace quern::graph
