#include "models/loader/load_weights.h"

#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "models/graph/rope_scaling.h"

namespace quern::loader {
namespace {

using arch::TensorRole;

std::vector<float> decode_vector(const gguf::TensorInfo& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.dims[0]));
  formats::format_info(tensor.format)
      .decode_row(tensor.data.data(), values.data(), static_cast<int64_t>(values.size()));
  return values;
}

class WeightLoader {
 public:
  WeightLoader(const TensorTable& table, backend::Backend& backend)
      : table_(table), backend_(backend) {}

  // Empty when the file has no such tensor.
  Result<graph::FloatVector> vector(TensorRole role, int64_t layer = 0) {
    graph::FloatVector out;
    const gguf::TensorInfo* tensor = table_.find(role, layer);
    if (tensor == nullptr) return out;
    const std::vector<float> values = decode_vector(*tensor);
    QUERN_ASSIGN_OR_RETURN(out.buffer,
                           backend_.load_floats(values.data(), values.size(), tensor->name));
    return out;
  }

  // No weight when the file has no such tensor.
  Result<graph::Linear> linear(TensorRole role, int64_t layer = 0) {
    graph::Linear out;
    const gguf::TensorInfo* tensor = table_.find(role, layer);
    if (tensor == nullptr) return out;
    QUERN_ASSIGN_OR_RETURN(out.weight, weight(*tensor));
    return out;
  }

  // The experts' matrices of a layer.
  Result<graph::ExpertLinear> experts(TensorRole role, int64_t layer) {
    graph::ExpertLinear out;
    for (const gguf::TensorInfo* tensor : table_.parts(role, layer)) {
      out.n_out = static_cast<int64_t>(tensor->dims[1]);
      QUERN_ASSIGN_OR_RETURN(auto loaded, weight(*tensor));
      out.weights.push_back(loaded.get());
      out.owned.push_back(std::move(loaded));
    }
    return out;
  }

  Result<graph::Linear> linear_with_bias(TensorRole weight, TensorRole bias, int64_t layer) {
    QUERN_ASSIGN_OR_RETURN(graph::Linear out, linear(weight, layer));
    QUERN_ASSIGN_OR_RETURN(out.bias, vector(bias, layer));
    return out;
  }

 private:
  // A matrix where it lies; the matrices of a stack one below the other.
  Result<std::unique_ptr<const dispatch::Weight>> weight(const gguf::TensorInfo& tensor) {
    const formats::FormatInfo& format = formats::format_info(tensor.format);
    const auto row_bytes = formats::row_bytes(format, tensor.dims[0]);
    if (!row_bytes) {
      return Error(ErrorKind::kInvalidInput,
                   "tensor " + tensor.name + " has rows of " + std::to_string(tensor.dims[0]) +
                       " values, which is no multiple of the blocks of " +
                       std::string(format.name) + "; convert the model anew");
    }
    // The reader has bounded the product of all dimensions.
    const tensor::TensorView view{.data = tensor.data.data(),
                                  .format = &format,
                                  .n_rows = static_cast<int64_t>(tensor.dims[1] * tensor.dims[2]),
                                  .n_cols = static_cast<int64_t>(tensor.dims[0]),
                                  .row_bytes = static_cast<int64_t>(*row_bytes)};
    return backend_.load_weight(view, tensor.name);
  }

  const TensorTable& table_;
  backend::Backend& backend_;
};

struct Part {
  TensorRole weight;
  TensorRole bias;
};

// The parts that the file has, in order: either the fused matrix or its pieces.
Result<std::vector<graph::Linear>> load_parts(WeightLoader& loader, TensorRole fused,
                                              std::initializer_list<Part> pieces, int64_t layer) {
  std::vector<graph::Linear> out;
  QUERN_ASSIGN_OR_RETURN(graph::Linear whole, loader.linear(fused, layer));
  if (whole.weight != nullptr) {
    out.push_back(std::move(whole));
    return out;
  }
  for (const Part& piece : pieces) {
    QUERN_ASSIGN_OR_RETURN(graph::Linear part,
                           loader.linear_with_bias(piece.weight, piece.bias, layer));
    out.push_back(std::move(part));
  }
  return out;
}

// Null when the model is dense.
Result<std::unique_ptr<const graph::ExpertWeights>> load_experts(WeightLoader& loader,
                                                                 int64_t layer) {
  auto out = std::make_unique<graph::ExpertWeights>();
  QUERN_ASSIGN_OR_RETURN(out->router, loader.linear(TensorRole::kRouter, layer));
  if (out->router.weight == nullptr) return std::unique_ptr<const graph::ExpertWeights>();
  QUERN_ASSIGN_OR_RETURN(out->gate, loader.experts(TensorRole::kExpertGate, layer));
  QUERN_ASSIGN_OR_RETURN(out->up, loader.experts(TensorRole::kExpertUp, layer));
  QUERN_ASSIGN_OR_RETURN(out->down, loader.experts(TensorRole::kExpertDown, layer));
  QUERN_ASSIGN_OR_RETURN(out->shared_input, loader.linear(TensorRole::kSharedInput, layer));
  for (const TensorRole role : {TensorRole::kSharedGate, TensorRole::kSharedUp}) {
    QUERN_ASSIGN_OR_RETURN(graph::Linear part, loader.linear(role, layer));
    out->shared_gate_up.push_back(std::move(part));
  }
  QUERN_ASSIGN_OR_RETURN(out->shared_down, loader.linear(TensorRole::kSharedDown, layer));
  return std::unique_ptr<const graph::ExpertWeights>(std::move(out));
}

int32_t window_of_layer(const arch::ArchSpec& spec, const arch::HyperParams& hyper, int64_t layer) {
  const bool windowed = spec.recipe.window == arch::WindowPattern::kAllLayers || layer % 2 == 0;
  return windowed ? static_cast<int32_t>(hyper.sliding_window) : 0;
}

Result<graph::LayerWeights> load_layer(WeightLoader& loader, int64_t i) {
  graph::LayerWeights layer;
  QUERN_ASSIGN_OR_RETURN(layer.attention_norm, loader.vector(TensorRole::kAttentionNorm, i));
  QUERN_ASSIGN_OR_RETURN(layer.query_norm, loader.vector(TensorRole::kQueryNorm, i));
  QUERN_ASSIGN_OR_RETURN(layer.key_norm, loader.vector(TensorRole::kKeyNorm, i));
  QUERN_ASSIGN_OR_RETURN(layer.qkv, load_parts(loader, TensorRole::kQkv,
                                               {{TensorRole::kQuery, TensorRole::kQueryBias},
                                                {TensorRole::kKey, TensorRole::kKeyBias},
                                                {TensorRole::kValue, TensorRole::kValueBias}},
                                               i));
  QUERN_ASSIGN_OR_RETURN(
      layer.attention_output,
      loader.linear_with_bias(TensorRole::kAttentionOutput, TensorRole::kAttentionOutputBias, i));
  QUERN_ASSIGN_OR_RETURN(layer.attention_post_norm,
                         loader.vector(TensorRole::kAttentionPostNorm, i));
  QUERN_ASSIGN_OR_RETURN(layer.ffn_norm, loader.vector(TensorRole::kFfnNorm, i));
  QUERN_ASSIGN_OR_RETURN(layer.experts, load_experts(loader, i));
  if (layer.experts == nullptr) {
    QUERN_ASSIGN_OR_RETURN(layer.gate_up, load_parts(loader, TensorRole::kGateUp,
                                                     {{TensorRole::kGate, TensorRole::kGateBias},
                                                      {TensorRole::kUp, TensorRole::kUpBias}},
                                                     i));
    QUERN_ASSIGN_OR_RETURN(layer.down,
                           loader.linear_with_bias(TensorRole::kDown, TensorRole::kDownBias, i));
  }
  QUERN_ASSIGN_OR_RETURN(layer.ffn_post_norm, loader.vector(TensorRole::kFfnPostNorm, i));
  return layer;
}

// The divisors that apply to sequences of this length; null for none.
Result<const gguf::TensorInfo*> rope_divisors(const arch::HyperParams& hyper,
                                              const TensorTable& table, int64_t context_length) {
  const gguf::TensorInfo* plain = table.find(TensorRole::kRopeFactors);
  if (plain != nullptr) return plain;
  const gguf::TensorInfo* long_ones = table.find(TensorRole::kRopeFactorsLong);
  const gguf::TensorInfo* short_ones = table.find(TensorRole::kRopeFactorsShort);
  const bool announced = hyper.rope_scaling == arch::RopeScaling::kLongRope;
  const bool any = long_ones != nullptr || short_ones != nullptr;
  if ((announced || any) && (long_ones == nullptr || short_ones == nullptr)) {
    return Error(ErrorKind::kInvalidInput,
                 std::string("tensor ") +
                     (long_ones == nullptr ? "rope_factors_long" : "rope_factors_short") +
                     ".weight is missing; expected it because the model scales its rotary "
                     "frequencies by LongRoPE, so convert it anew");
  }
  return context_length > hyper.rope_original_context ? long_ones : short_ones;
}

Status load_rope(const arch::HyperParams& hyper, const gguf::TensorInfo* divisors,
                 backend::Backend& backend, graph::DecoderWeights& out) {
  std::vector<float> values;
  if (divisors != nullptr) values = decode_vector(*divisors);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(std::isfinite(values[i]) && values[i] > 0)) {
      return Error(ErrorKind::kInvalidInput,
                   "tensor " + divisors->name + " holds " + std::to_string(values[i]) +
                       " at index " + std::to_string(i) +
                       "; expected positive numbers, convert the model anew");
    }
  }
  const graph::RopeFrequencies rope = graph::rope_frequencies(hyper, values);
  QUERN_ASSIGN_OR_RETURN(
      out.inverse_frequency.buffer,
      backend.load_floats(rope.inverse.data(), rope.inverse.size(), "rotary frequencies"));
  out.rope_magnitude = rope.magnitude;
  return ok_status();
}

}  // namespace

Result<std::shared_ptr<graph::DecoderWeights>> load_weights(const arch::ArchSpec& spec,
                                                            const arch::HyperParams& hyper,
                                                            const TensorTable& table,
                                                            int64_t context_length,
                                                            backend::Backend& backend) {
  WeightLoader loader(table, backend);
  auto out = std::make_shared<graph::DecoderWeights>();
  out->hyper = hyper;
  out->recipe = spec.recipe;
  QUERN_ASSIGN_OR_RETURN(out->token_embedding, loader.linear(TensorRole::kTokenEmbedding));
  QUERN_ASSIGN_OR_RETURN(out->separate_output, loader.linear(TensorRole::kOutput));
  QUERN_ASSIGN_OR_RETURN(out->output_norm, loader.vector(TensorRole::kOutputNorm));
  QUERN_ASSIGN_OR_RETURN(const gguf::TensorInfo* divisors,
                         rope_divisors(hyper, table, context_length));
  QUERN_RETURN_IF_ERROR(load_rope(hyper, divisors, backend, *out));
  out->layers.reserve(static_cast<size_t>(hyper.n_layers));
  for (int64_t i = 0; i < hyper.n_layers; ++i) {
    QUERN_ASSIGN_OR_RETURN(graph::LayerWeights layer, load_layer(loader, i));
    layer.window = window_of_layer(spec, hyper, i);
    out->layers.push_back(std::move(layer));
  }
  return out;
}

}  // namespace quern::loader
