#include "tests/support/plain_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "config/base/check.h"

namespace quern::tests_support {
namespace {

class HostBuffer final : public backend::Buffer {
 public:
  // Doubles of eight bytes give more than the alignment that float needs.
  explicit HostBuffer(size_t bytes) : storage_((bytes + 7) / 8), bytes_(bytes) {}
  std::byte* data() override { return reinterpret_cast<std::byte*>(storage_.data()); }
  size_t size() const override { return bytes_; }

 private:
  std::vector<uint64_t> storage_;
  size_t bytes_;
};

std::vector<float> decoded_row(const dispatch::Weight& weight, int64_t row) {
  std::vector<float> values(static_cast<size_t>(weight.view.n_cols));
  weight.view.format->decode_row(weight.view.row(row), values.data(), weight.view.n_cols);
  return values;
}

// Index of a value in a layer's keys or values.
size_t kv_index(const ops::KvLayerView& cache, std::span<const int32_t> pages, int64_t position,
                int64_t kv_head) {
  const int64_t page = pages[static_cast<size_t>(position / cache.page_tokens)];
  const int64_t slot =
      (page * cache.n_kv_heads + kv_head) * cache.page_tokens + position % cache.page_tokens;
  return static_cast<size_t>(slot * cache.head_dim);
}

class PlainBackend final : public backend::Backend {
 public:
  std::string_view name() const override { return "plain"; }

  Result<std::unique_ptr<backend::Buffer>> allocate(size_t bytes, std::string_view) override {
    return std::unique_ptr<backend::Buffer>(std::make_unique<HostBuffer>(bytes));
  }
  Result<std::unique_ptr<const dispatch::Weight>> load_weight(const tensor::TensorView& view,
                                                              std::string_view name) override {
    auto weight = std::make_unique<dispatch::Weight>();
    weight->view = view;
    weight->name = name;
    return std::unique_ptr<const dispatch::Weight>(std::move(weight));
  }
  Result<std::unique_ptr<backend::Buffer>> load_floats(const float* values, size_t n,
                                                       std::string_view) override {
    auto buffer = std::make_unique<HostBuffer>(n * sizeof(float));
    if (n > 0) std::memcpy(buffer->data(), values, n * sizeof(float));
    return std::unique_ptr<backend::Buffer>(std::move(buffer));
  }
  std::vector<std::string> explain() const override { return {}; }

  Status begin_step(const ops::StepInputs& inputs) override {
    inputs_ = inputs;
    return ok_status();
  }
  Status finish_step() override { return ok_status(); }

  void gather(const ops::GatherArgs& args) override {
    float* y = args.y;
    for (const int32_t token : inputs_.tokens) {
      for (const float value : decoded_row(*args.table, token)) *y++ = value * args.scale;
    }
  }

  void matmul(const ops::MatmulArgs& args) override {
    for (const ops::MatmulOutput& output : args.outputs) {
      for (int64_t j = 0; j < output.weight->view.n_rows; ++j) {
        const std::vector<float> weight = decoded_row(*output.weight, j);
        for (int64_t r = 0; r < args.n_rows; ++r) {
          const float* x = args.x + r * args.x_stride;
          double sum = 0;
          for (size_t k = 0; k < weight.size(); ++k) sum += double{weight[k]} * double{x[k]};
          if (output.bias != nullptr) sum += double{output.bias[j]};
          output.y[r * output.y_stride + j] = static_cast<float>(sum);
        }
      }
    }
  }

  void rms_norm(const ops::RmsNormArgs& args) override {
    for (int64_t r = 0; r < args.n_rows; ++r) {
      const float* x = args.x + r * args.x_stride;
      float* y = args.y + r * args.y_stride;
      double squares = 0;
      for (int64_t i = 0; i < args.n_cols; ++i) squares += double{x[i]} * double{x[i]};
      const double scale =
          1 / std::sqrt(squares / static_cast<double>(args.n_cols) + double{args.epsilon});
      for (int64_t i = 0; i < args.n_cols; ++i) {
        y[i] = static_cast<float>(double{x[i]} * scale * double{args.weight[i]});
      }
    }
  }

  void rope_table(const ops::RopeTableArgs& args) override {
    int64_t at = 0;
    for (const ops::SequenceSlice& slice : inputs_.sequences) {
      for (int32_t t = 0; t < slice.n_tokens; ++t) {
        for (int64_t i = 0; i < args.n_rot / 2; ++i, ++at) {
          const double angle =
              static_cast<double>(slice.first_position + t) * double{args.inverse_frequency[i]};
          args.cosine[at] = static_cast<float>(std::cos(angle)) * args.magnitude;
          args.sine[at] = static_cast<float>(std::sin(angle)) * args.magnitude;
        }
      }
    }
  }

  void rope(const ops::RopeArgs& args) override {
    const int64_t half = args.n_rot / 2;
    const bool neighbours = args.pairing == ops::RopePairing::kNeighbours;
    for (size_t t = 0; t < inputs_.tokens.size(); ++t) {
      const auto token = static_cast<int64_t>(t);
      for (int64_t h = 0; h < args.n_heads; ++h) {
        float* x = args.x + token * args.x_stride + h * args.head_dim;
        for (int64_t i = 0; i < half; ++i) {
          float& a = x[neighbours ? 2 * i : i];
          float& b = x[neighbours ? 2 * i + 1 : i + half];
          const float c = args.cosine[token * half + i];
          const float s = args.sine[token * half + i];
          const float rotated = a * c - b * s;
          b = a * s + b * c;
          a = rotated;
        }
      }
    }
  }

  void kv_store(const ops::KvStoreArgs& args) override {
    CHECK(args.cache.format == ops::KvFormat::kF32);
    const auto bytes = static_cast<size_t>(args.cache.head_dim) * sizeof(float);
    for (const ops::SequenceSlice& slice : inputs_.sequences) {
      for (int64_t t = 0; t < slice.n_tokens; ++t) {
        for (int64_t h = 0; h < args.cache.n_kv_heads; ++h) {
          const size_t to = kv_index(args.cache, slice.pages, slice.first_position + t, h);
          const int64_t from = (slice.first_token + t) * args.stride + h * args.cache.head_dim;
          std::memcpy(reinterpret_cast<float*>(args.cache.keys) + to, args.keys + from, bytes);
          std::memcpy(reinterpret_cast<float*>(args.cache.values) + to, args.values + from, bytes);
        }
      }
    }
  }

  void attention(const ops::AttentionArgs& args) override {
    for (const ops::SequenceSlice& slice : inputs_.sequences) {
      for (int64_t t = 0; t < slice.n_tokens; ++t) {
        for (int64_t h = 0; h < args.n_heads; ++h) attend(args, slice, t, h);
      }
    }
  }

  void gated_activation(const ops::GatedActivationArgs& args) override {
    for (int64_t r = 0; r < args.n_rows; ++r) {
      for (int64_t i = 0; i < args.n_cols; ++i) {
        const double g = double{args.gate[r * args.gate_stride + i]};
        const double silu = g / (1 + std::exp(-g));
        const double gelu =
            0.5 * g * (1 + std::tanh(0.7978845608028654 * (g + 0.044715 * g * g * g)));
        const double active = args.activation == ops::Activation::kSilu ? silu : gelu;
        args.y[r * args.y_stride + i] =
            static_cast<float>(active * double{args.up[r * args.up_stride + i]});
      }
    }
  }

  void add(const ops::AddArgs& args) override {
    for (int64_t r = 0; r < args.n_rows; ++r) {
      for (int64_t i = 0; i < args.n; ++i)
        args.y[r * args.y_stride + i] += args.x[r * args.x_stride + i];
    }
  }
  void scale(const ops::ScaleArgs& args) override {
    for (int64_t i = 0; i < args.n; ++i) args.x[i] *= args.factor;
  }
  void softcap(const ops::SoftcapArgs& args) override {
    for (int64_t i = 0; i < args.n; ++i) args.x[i] = args.cap * std::tanh(args.x[i] / args.cap);
  }
  void route(const ops::RouteArgs& args) override {
    const ops::ExpertRouting& to = args.routing;
    for (int64_t r = 0; r < args.n_rows; ++r) {
      const float* logits = args.logits + r * to.n_experts;
      std::vector<int32_t> order(static_cast<size_t>(to.n_experts));
      std::iota(order.begin(), order.end(), 0);
      // NaN would be no order for the sort.
      if (std::none_of(logits, logits + to.n_experts, [](float x) { return std::isnan(x); })) {
        std::stable_sort(order.begin(), order.end(),
                         [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
      }
      double divisor = 0;
      const int64_t n_summed = args.normalize ? to.n_used : to.n_experts;
      const auto exponential = [&](int64_t k) {
        const int32_t expert = order[static_cast<size_t>(k)];
        return std::exp(double{logits[expert]} - double{logits[order[0]]});
      };
      for (int64_t k = 0; k < n_summed; ++k) divisor += exponential(k);
      for (int64_t k = 0; k < to.n_used; ++k) {
        to.experts[r * to.n_used + k] = order[static_cast<size_t>(k)];
        to.weights[r * to.n_used + k] = static_cast<float>(exponential(k) / divisor);
      }
    }
    group(to, args.n_rows);
  }

  void expert_matmul(const ops::ExpertMatmulArgs& args) override {
    const ops::ExpertRouting& from = args.routing;
    for (int32_t e = 0; e < from.n_experts; ++e) {
      for (int32_t place = from.firsts[e]; place < from.firsts[e + 1]; ++place) {
        const int64_t row = args.x_by_place ? place : from.sources[place];
        for (const ops::ExpertOutput& output : args.outputs) {
          const bool stacked = output.weights.size() == 1;
          const dispatch::Weight& weight = *output.weights[stacked ? 0 : static_cast<size_t>(e)];
          for (int64_t j = 0; j < output.n_out; ++j) {
            const auto values = decoded_row(weight, stacked ? e * output.n_out + j : j);
            const float* x = args.x + row * args.x_stride;
            double sum = 0;
            for (size_t k = 0; k < values.size(); ++k) sum += double{values[k]} * double{x[k]};
            output.y[place * output.y_stride + j] = static_cast<float>(sum);
          }
        }
      }
    }
  }

  void expert_combine(const ops::ExpertCombineArgs& args) override {
    const int64_t n_used = args.routing.n_used;
    for (int64_t r = 0; r < args.n_rows; ++r) {
      for (int64_t i = 0; i < args.n_cols; ++i) {
        double sum = 0;
        for (int64_t k = r * n_used; k < (r + 1) * n_used; ++k) {
          const float x = args.x[args.routing.places[k] * args.n_cols + i];
          sum += double{args.routing.weights[k]} * double{x};
        }
        if (args.shared != nullptr) {
          const double gate = 1 / (1 + std::exp(-double{args.shared_gate[r]}));
          sum += gate * double{args.shared[r * args.n_cols + i]};
        }
        args.y[r * args.n_cols + i] = static_cast<float>(sum);
      }
    }
  }

  void read_back(const float* device, float* host, size_t n) override {
    std::copy_n(device, n, host);
  }
  void select_outputs(const float* x, int64_t n_cols, float* y) override {
    for (const int32_t token : inputs_.outputs) {
      y = std::copy_n(x + token * n_cols, n_cols, y);
    }
  }

 private:
  // By the definition of places: through the experts, and through the rows of each.
  static void group(const ops::ExpertRouting& to, int64_t n_rows) {
    int32_t place = 0;
    for (int32_t e = 0; e < to.n_experts; ++e) {
      to.firsts[e] = place;
      for (int64_t pair = 0; pair < n_rows * to.n_used; ++pair) {
        if (to.experts[pair] != e) continue;
        to.places[pair] = place;
        to.sources[place++] = static_cast<int32_t>(pair / to.n_used);
      }
    }
    to.firsts[to.n_experts] = place;
  }

  void attend(const ops::AttentionArgs& args, const ops::SequenceSlice& slice, int64_t t,
              int64_t head) {
    const ops::KvLayerView& cache = args.cache;
    const auto* keys = reinterpret_cast<const float*>(cache.keys);
    const auto* values = reinterpret_cast<const float*>(cache.values);
    const int64_t kv_head = head / (args.n_heads / cache.n_kv_heads);
    const int64_t token = slice.first_token + t;
    const int64_t last = slice.first_position + t;
    const int64_t first = args.window == 0 ? 0 : std::max<int64_t>(0, last - args.window + 1);
    const float* q = args.q + token * args.q_stride + head * cache.head_dim;
    std::vector<double> sums(static_cast<size_t>(cache.head_dim));
    std::vector<double> scores;
    for (int64_t p = first; p <= last; ++p) {
      const float* k = keys + kv_index(cache, slice.pages, p, kv_head);
      double score = 0;
      for (int64_t i = 0; i < cache.head_dim; ++i) score += double{q[i]} * double{k[i]};
      score *= double{args.scale};
      if (args.softcap > 0) score = double{args.softcap} * std::tanh(score / double{args.softcap});
      scores.push_back(score);
    }
    const double top = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (int64_t p = first; p <= last; ++p) {
      const double weight = std::exp(scores[static_cast<size_t>(p - first)] - top);
      const float* v = values + kv_index(cache, slice.pages, p, kv_head);
      total += weight;
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += weight * double{v[i]};
    }
    float* y = args.y + token * args.y_stride + head * cache.head_dim;
    for (size_t i = 0; i < sums.size(); ++i) y[i] = static_cast<float>(sums[i] / total);
  }

  ops::StepInputs inputs_;
};

}  // namespace

std::unique_ptr<backend::Backend> create_plain_backend() {
  return std::make_unique<PlainBackend>();
}

}  // namespace quern::tests_support
