// The decoder loop: gather, blocks, final norm, output matrix.
//
// Only the tokens whose logits are wanted go through the last layer past its keys and values: every
// row of a step is computed on its own, so leaving rows out changes no bit of the others.
#include "models/graph/forward.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "config/base/check.h"
#include "models/graph/block_experts.h"
#include "models/graph/deltas.h"
#include "models/graph/scratch.h"
#include "models/graph/weights.h"

namespace quern::graph {
namespace {

class Decoder final : public ForwardPass {
 public:
  Decoder(backend::Backend& backend, std::shared_ptr<const DecoderWeights> weights, Scratch scratch,
          std::unique_ptr<Deltas> deltas, int32_t max_tokens, int32_t max_outputs)
      : backend_(backend),
        weights_(std::move(weights)),
        hyper_(weights_->hyper),
        scratch_(std::move(scratch)),
        deltas_(std::move(deltas)),
        max_tokens_(max_tokens),
        max_outputs_(max_outputs) {}

  Status run(const ops::StepInputs& inputs, KvStorage& cache, std::span<float> logits) override;
  uint64_t scratch_bytes() const override {
    return scratch_.buffer->size() + (deltas_ ? deltas_->scratch_bytes() : 0);
  }

 private:
  void embed();
  void project(const LayerWeights& layer, const ops::KvLayerView& cache);
  // `next`: what multiplies all of the result, or null.
  void attend(const LayerWeights& layer, const ops::KvLayerView& cache,
              const dispatch::Weight* next);
  void attention_output(const LayerWeights& layer, const float* attended, float* hidden,
                        int64_t n_rows);
  void feed_forward(const LayerWeights& layer, float* hidden, int64_t n_rows);
  void dense_feed_forward(const LayerWeights& layer, int64_t n_rows);
  void write_logits(int64_t n_rows, std::span<float> logits);

  void norm(const FloatVector& weight, const float* x, float* y, int64_t n_rows,
            const dispatch::Weight* next = nullptr);
  void norm_heads(const FloatVector& weight, float* x, int64_t n_heads);
  void rotate(float* x, int64_t n_heads);
  void multiply(const Linear& linear, const float* x, int64_t x_stride, float* y, int64_t n_rows);
  void multiply_side_by_side(std::span<const Linear> parts, const float* x, float* y,
                             int64_t y_stride, int64_t n_rows);

  // What adapters add to a layer's output.
  void add_deltas(const dispatch::Weight* weight, const float* x, int64_t x_stride, float* y,
                  int64_t y_stride, int64_t n_rows);
  bool has_deltas(std::span<const Linear> parts) const;

  int64_t qkv_width() const { return hyper_.query_width() + 2 * hyper_.kv_width(); }

  backend::Backend& backend_;
  std::shared_ptr<const DecoderWeights> weights_;
  const arch::HyperParams& hyper_;
  Scratch scratch_;
  std::unique_ptr<Deltas> deltas_;  // null without adapters
  int32_t max_tokens_;
  int32_t max_outputs_;
  int64_t n_tokens_ = 0;  // of the step in progress
};

Status Decoder::run(const ops::StepInputs& inputs, KvStorage& cache, std::span<float> logits) {
  const auto n_outputs = static_cast<int64_t>(inputs.outputs.size());
  n_tokens_ = static_cast<int64_t>(inputs.tokens.size());
  CHECK(n_tokens_ >= 1 && n_tokens_ <= max_tokens_);
  CHECK(n_outputs <= max_outputs_);
  CHECK(static_cast<int64_t>(logits.size()) == n_outputs * hyper_.n_vocab);

  QUERN_RETURN_IF_ERROR(backend_.begin_step(inputs));
  if (deltas_) deltas_->begin(inputs);
  embed();
  const auto n_layers = static_cast<int>(hyper_.n_layers);
  for (int i = 0; i < n_layers; ++i) {
    const LayerWeights& layer = weights_->layers[static_cast<size_t>(i)];
    const ops::KvLayerView pages = cache.layer(i);
    project(layer, pages);
    const bool last = i + 1 == n_layers;
    if (last && n_outputs == 0) break;  // keys and values were all that was wanted
    const bool all = !last || n_outputs == n_tokens_;
    attend(layer, pages, all ? layer.attention_output.weight.get() : nullptr);
    if (all) {
      attention_output(layer, scratch_.attended, scratch_.hidden, n_tokens_);
      feed_forward(layer, scratch_.hidden, n_tokens_);
    } else {
      backend_.select_outputs(scratch_.attended, hyper_.query_width(), scratch_.selected_attended);
      backend_.select_outputs(scratch_.hidden, hyper_.n_embedding, scratch_.selected_hidden);
      attention_output(layer, scratch_.selected_attended, scratch_.selected_hidden, n_outputs);
      feed_forward(layer, scratch_.selected_hidden, n_outputs);
    }
  }
  if (n_outputs > 0) write_logits(n_outputs, logits);
  return backend_.finish_step();
}

void Decoder::embed() {
  backend_.rope_table({.inverse_frequency = weights_->inverse_frequency.data(),
                       .n_rot = hyper_.n_rot,
                       .magnitude = weights_->rope_magnitude,
                       .cosine = scratch_.cosine,
                       .sine = scratch_.sine});
  const float scale = weights_->recipe.scale_embedding
                          ? static_cast<float>(std::sqrt(static_cast<double>(hyper_.n_embedding)))
                          : 1.0F;
  backend_.gather(
      {.table = weights_->token_embedding.weight.get(), .scale = scale, .y = scratch_.hidden});
}

// Queries, keys and values of all tokens; the residual stream is only read.
void Decoder::project(const LayerWeights& layer, const ops::KvLayerView& cache) {
  norm(layer.attention_norm, scratch_.hidden, scratch_.normed, n_tokens_,
       layer.qkv.front().weight.get());
  multiply_side_by_side(layer.qkv, scratch_.normed, scratch_.qkv, qkv_width(), n_tokens_);
  float* queries = scratch_.qkv;
  float* keys = queries + hyper_.query_width();
  float* values = keys + hyper_.kv_width();
  if (!layer.query_norm.empty()) norm_heads(layer.query_norm, queries, hyper_.n_heads);
  if (!layer.key_norm.empty()) norm_heads(layer.key_norm, keys, hyper_.n_kv_heads);
  rotate(queries, hyper_.n_heads);
  rotate(keys, hyper_.n_kv_heads);
  backend_.kv_store({.cache = cache, .keys = keys, .values = values, .stride = qkv_width()});
}

void Decoder::attend(const LayerWeights& layer, const ops::KvLayerView& cache,
                     const dispatch::Weight* next) {
  backend_.attention({.cache = cache,
                      .q = scratch_.qkv,
                      .q_stride = qkv_width(),
                      .n_heads = hyper_.n_heads,
                      .scale = static_cast<float>(hyper_.attention_scale),
                      .softcap = static_cast<float>(hyper_.attention_softcap),
                      .window = layer.window,
                      .y = scratch_.attended,
                      .y_stride = hyper_.query_width(),
                      .next = next});
}

void Decoder::attention_output(const LayerWeights& layer, const float* attended, float* hidden,
                               int64_t n_rows) {
  multiply(layer.attention_output, attended, hyper_.query_width(), scratch_.normed, n_rows);
  if (!layer.attention_post_norm.empty()) {
    norm(layer.attention_post_norm, scratch_.normed, scratch_.normed, n_rows);
  }
  backend_.add({.x = scratch_.normed, .y = hidden, .n = n_rows * hyper_.n_embedding});
}

void Decoder::feed_forward(const LayerWeights& layer, float* hidden, int64_t n_rows) {
  norm(layer.ffn_norm, hidden, scratch_.normed, n_rows,
       layer.experts != nullptr ? nullptr : layer.gate_up.front().weight.get());
  if (layer.experts != nullptr) {
    run_experts(backend_, *weights_, *layer.experts, scratch_, n_rows);
  } else {
    dense_feed_forward(layer, n_rows);
  }
  if (!layer.ffn_post_norm.empty()) {
    norm(layer.ffn_post_norm, scratch_.normed, scratch_.normed, n_rows);
  }
  backend_.add({.x = scratch_.normed, .y = hidden, .n = n_rows * hyper_.n_embedding});
}

// Of the rows in scratch_.normed, in place.
void Decoder::dense_feed_forward(const LayerWeights& layer, int64_t n_rows) {
  const int64_t width = hyper_.n_feed_forward;
  // The product takes the gate's place. Deltas come between the matrices and the activation.
  if (layer.gate_up.size() == 2 && !has_deltas(layer.gate_up)) {
    const auto output = [&](const Linear& linear, float* y) {
      return ops::MatmulOutput{linear.weight.get(), linear.bias.data(), y, 2 * width};
    };
    backend_.gated_matmul({.x = scratch_.normed,
                           .x_stride = hyper_.n_embedding,
                           .n_rows = n_rows,
                           .gate = output(layer.gate_up[0], scratch_.gate_up),
                           .up = output(layer.gate_up[1], scratch_.gate_up + width),
                           .activation = weights_->recipe.activation,
                           .y = scratch_.gate_up,
                           .y_stride = 2 * width,
                           .next = layer.down.weight.get()});
  } else {
    multiply_side_by_side(layer.gate_up, scratch_.normed, scratch_.gate_up, 2 * width, n_rows);
    backend_.gated_activation({.activation = weights_->recipe.activation,
                               .gate = scratch_.gate_up,
                               .gate_stride = 2 * width,
                               .up = scratch_.gate_up + width,
                               .up_stride = 2 * width,
                               .y = scratch_.gate_up,
                               .y_stride = 2 * width,
                               .n_rows = n_rows,
                               .n_cols = width});
  }
  multiply(layer.down, scratch_.gate_up, 2 * width, scratch_.normed, n_rows);
}

void Decoder::write_logits(int64_t n_rows, std::span<float> logits) {
  const float* hidden = n_rows == n_tokens_ ? scratch_.hidden : scratch_.selected_hidden;
  norm(weights_->output_norm, hidden, scratch_.normed, n_rows, weights_->output());
  const std::array<ops::MatmulOutput, 1> outputs = {ops::MatmulOutput{
      .weight = weights_->output(),
      .bias = nullptr,
      .y = scratch_.logits,
      .y_stride = hyper_.n_vocab,
  }};
  backend_.matmul(
      {.x = scratch_.normed, .x_stride = hyper_.n_embedding, .n_rows = n_rows, .outputs = outputs});
  add_deltas(weights_->output(), scratch_.normed, hyper_.n_embedding, scratch_.logits,
             hyper_.n_vocab, n_rows);
  const int64_t n = n_rows * hyper_.n_vocab;
  if (hyper_.final_softcap > 0) {
    backend_.softcap(
        {.x = scratch_.logits, .cap = static_cast<float>(hyper_.final_softcap), .n = n});
  }
  backend_.read_back(scratch_.logits, logits.data(), static_cast<size_t>(n));
}

void Decoder::norm(const FloatVector& weight, const float* x, float* y, int64_t n_rows,
                   const dispatch::Weight* next) {
  backend_.rms_norm({.x = x,
                     .x_stride = hyper_.n_embedding,
                     .weight = weight.data(),
                     .epsilon = static_cast<float>(hyper_.norm_epsilon),
                     .y = y,
                     .y_stride = hyper_.n_embedding,
                     .n_rows = n_rows,
                     .n_cols = hyper_.n_embedding,
                     .next = next});
}

// One row per head. Heads of one token lie side by side and tokens lie qkv_width() apart, so a pass
// takes one token's heads or one head's tokens, whichever makes fewer passes; rows are independent.
void Decoder::norm_heads(const FloatVector& weight, float* x, int64_t n_heads) {
  const bool by_token = n_tokens_ < n_heads;
  const int64_t pass_stride = by_token ? qkv_width() : hyper_.head_dim;
  const int64_t row_stride = by_token ? hyper_.head_dim : qkv_width();
  const int64_t n_passes = by_token ? n_tokens_ : n_heads;
  for (int64_t pass = 0; pass < n_passes; ++pass) {
    float* rows = x + pass * pass_stride;
    backend_.rms_norm({.x = rows,
                       .x_stride = row_stride,
                       .weight = weight.data(),
                       .epsilon = static_cast<float>(hyper_.norm_epsilon),
                       .y = rows,
                       .y_stride = row_stride,
                       .n_rows = by_token ? n_heads : n_tokens_,
                       .n_cols = hyper_.head_dim});
  }
}

void Decoder::rotate(float* x, int64_t n_heads) {
  backend_.rope({.x = x,
                 .x_stride = qkv_width(),
                 .n_heads = n_heads,
                 .head_dim = hyper_.head_dim,
                 .n_rot = hyper_.n_rot,
                 .pairing = weights_->recipe.rope_pairing,
                 .cosine = scratch_.cosine,
                 .sine = scratch_.sine});
}

void Decoder::multiply(const Linear& linear, const float* x, int64_t x_stride, float* y,
                       int64_t n_rows) {
  const std::array<ops::MatmulOutput, 1> outputs = {ops::MatmulOutput{
      .weight = linear.weight.get(),
      .bias = linear.bias.data(),
      .y = y,
      .y_stride = linear.n_out(),
  }};
  backend_.matmul({.x = x, .x_stride = x_stride, .n_rows = n_rows, .outputs = outputs});
  add_deltas(linear.weight.get(), x, x_stride, y, linear.n_out(), n_rows);
}

// All parts read the same x; their outputs lie one after the other in each row of y.
void Decoder::multiply_side_by_side(std::span<const Linear> parts, const float* x, float* y,
                                    int64_t y_stride, int64_t n_rows) {
  std::array<ops::MatmulOutput, 3> outputs;
  CHECK(parts.size() <= outputs.size());
  int64_t column = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    outputs[i] = {.weight = parts[i].weight.get(),
                  .bias = parts[i].bias.data(),
                  .y = y + column,
                  .y_stride = y_stride};
    column += parts[i].n_out();
  }
  CHECK(column == y_stride);
  backend_.matmul({.x = x,
                   .x_stride = hyper_.n_embedding,
                   .n_rows = n_rows,
                   .outputs = std::span(outputs).first(parts.size())});
  for (const ops::MatmulOutput& output : std::span(outputs).first(parts.size())) {
    add_deltas(output.weight, x, hyper_.n_embedding, output.y, y_stride, n_rows);
  }
}

void Decoder::add_deltas(const dispatch::Weight* weight, const float* x, int64_t x_stride, float* y,
                         int64_t y_stride, int64_t n_rows) {
  if (deltas_) deltas_->add(weight, x, x_stride, y, y_stride, n_rows);
}

bool Decoder::has_deltas(std::span<const Linear> parts) const {
  return deltas_ && std::any_of(parts.begin(), parts.end(),
                                [&](const Linear& part) { return deltas_->change(part); });
}

}  // namespace

Result<std::unique_ptr<ForwardPass>> ForwardPass::create(
    backend::Backend& backend, std::shared_ptr<const DecoderWeights> weights, int32_t max_tokens,
    int32_t max_outputs, std::vector<std::shared_ptr<const AdapterWeights>> adapters) {
  QUERN_ASSIGN_OR_RETURN(Scratch scratch,
                         make_scratch(backend, weights->hyper, max_tokens, max_outputs));
  std::unique_ptr<Deltas> deltas;
  if (!adapters.empty()) {
    QUERN_ASSIGN_OR_RETURN(
        deltas, Deltas::create(backend, *weights, std::move(adapters), max_tokens, max_outputs));
  }
  return std::unique_ptr<ForwardPass>(std::make_unique<Decoder>(
      backend, std::move(weights), std::move(scratch), std::move(deltas), max_tokens, max_outputs));
}

}  // namespace quern::graph
