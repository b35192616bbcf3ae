// Tables of constants: the names of tensors in checkpoints.
#include "models/convert/huggingface/model_class.h"

namespace quern::huggingface {
namespace {

using arch::TensorRole;

// clang-format off
#define QUERN_ATTENTION(q_and_k_change) \
  {TensorRole::kTokenEmbedding, "model.embed_tokens.weight"}, \
  {TensorRole::kOutput, "lm_head.weight"}, \
  {TensorRole::kQuery, "model.layers.{}.self_attn.q_proj.weight", q_and_k_change}, \
  {TensorRole::kQueryBias, "model.layers.{}.self_attn.q_proj.bias", q_and_k_change}, \
  {TensorRole::kKey, "model.layers.{}.self_attn.k_proj.weight", q_and_k_change}, \
  {TensorRole::kKeyBias, "model.layers.{}.self_attn.k_proj.bias", q_and_k_change}, \
  {TensorRole::kValue, "model.layers.{}.self_attn.v_proj.weight"}, \
  {TensorRole::kValueBias, "model.layers.{}.self_attn.v_proj.bias"}, \
  {TensorRole::kAttentionOutput, "model.layers.{}.self_attn.o_proj.weight"}, \
  {TensorRole::kAttentionOutputBias, "model.layers.{}.self_attn.o_proj.bias"}

#define QUERN_NORMS \
  {TensorRole::kOutputNorm, "model.norm.weight"}, \
  {TensorRole::kAttentionNorm, "model.layers.{}.input_layernorm.weight"}, \
  {TensorRole::kFfnNorm, "model.layers.{}.post_attention_layernorm.weight"}

#define QUERN_FEED_FORWARD \
  {TensorRole::kGate, "model.layers.{}.mlp.gate_proj.weight"}, \
  {TensorRole::kGateBias, "model.layers.{}.mlp.gate_proj.bias"}, \
  {TensorRole::kUp, "model.layers.{}.mlp.up_proj.weight"}, \
  {TensorRole::kUpBias, "model.layers.{}.mlp.up_proj.bias"}, \
  {TensorRole::kDown, "model.layers.{}.mlp.down_proj.weight"}, \
  {TensorRole::kDownBias, "model.layers.{}.mlp.down_proj.bias"}

constexpr SourceTensor kLlama[] = {QUERN_ATTENTION(Change::kPairUp), QUERN_NORMS, QUERN_FEED_FORWARD};

constexpr SourceTensor kMixtral[] = {
    QUERN_ATTENTION(Change::kPairUp), QUERN_NORMS,
    {TensorRole::kRouter, "model.layers.{}.block_sparse_moe.gate.weight"},
    {TensorRole::kExpertGate, "model.layers.{}.block_sparse_moe.experts.{}.w1.weight"},
    {TensorRole::kExpertUp, "model.layers.{}.block_sparse_moe.experts.{}.w3.weight"},
    {TensorRole::kExpertDown, "model.layers.{}.block_sparse_moe.experts.{}.w2.weight"},
};

// Classes whose files and checkpoints rotate alike; each takes what its architecture has.
constexpr SourceTensor kPlain[] = {
    QUERN_ATTENTION(Change::kNone), QUERN_NORMS, QUERN_FEED_FORWARD,
    {TensorRole::kQkv, "model.layers.{}.self_attn.qkv_proj.weight"},
    {TensorRole::kQueryNorm, "model.layers.{}.self_attn.q_norm.weight"},
    {TensorRole::kKeyNorm, "model.layers.{}.self_attn.k_norm.weight"},
    {TensorRole::kGateUp, "model.layers.{}.mlp.gate_up_proj.weight"},
    {TensorRole::kRouter, "model.layers.{}.mlp.gate.weight"},
    {TensorRole::kExpertGate, "model.layers.{}.mlp.experts.{}.gate_proj.weight"},
    {TensorRole::kExpertUp, "model.layers.{}.mlp.experts.{}.up_proj.weight"},
    {TensorRole::kExpertDown, "model.layers.{}.mlp.experts.{}.down_proj.weight"},
    {TensorRole::kSharedInput, "model.layers.{}.mlp.shared_expert_gate.weight"},
    {TensorRole::kSharedGate, "model.layers.{}.mlp.shared_expert.gate_proj.weight"},
    {TensorRole::kSharedUp, "model.layers.{}.mlp.shared_expert.up_proj.weight"},
    {TensorRole::kSharedDown, "model.layers.{}.mlp.shared_expert.down_proj.weight"},
};

constexpr SourceTensor kGemma2[] = {
    QUERN_ATTENTION(Change::kNone), QUERN_FEED_FORWARD,
    {TensorRole::kOutputNorm, "model.norm.weight", Change::kPlusOne},
    {TensorRole::kAttentionNorm, "model.layers.{}.input_layernorm.weight", Change::kPlusOne},
    {TensorRole::kAttentionPostNorm, "model.layers.{}.post_attention_layernorm.weight", Change::kPlusOne},
    {TensorRole::kFfnNorm, "model.layers.{}.pre_feedforward_layernorm.weight", Change::kPlusOne},
    {TensorRole::kFfnPostNorm, "model.layers.{}.post_feedforward_layernorm.weight", Change::kPlusOne},
};

#undef QUERN_ATTENTION
#undef QUERN_NORMS
#undef QUERN_FEED_FORWARD

constexpr ModelClass kClasses[] = {
#define QUERN_MODEL_CLASS(name, type, arch, tensors, activation, theta, head_dim, window, has_window) \
  {name, type, arch, tensors, activation, theta, head_dim, window, has_window},
#include "models/convert/huggingface/model_class_list.inc"
#undef QUERN_MODEL_CLASS
};
// clang-format on

void fill_hole(std::string& text, int64_t number) {
  const size_t hole = text.find("{}");
  if (hole != std::string::npos) text.replace(hole, 2, std::to_string(number));
}

}  // namespace

std::span<const ModelClass> all_classes() { return kClasses; }

const ModelClass* find_class(std::string_view name, std::string_view model_type) {
  for (const ModelClass& known : kClasses) {
    if (name.empty() ? known.model_type == model_type : known.name == name) return &known;
  }
  return nullptr;
}

std::string class_names() {
  std::string text;
  for (const ModelClass& known : kClasses) {
    if (!text.empty()) text += ", ";
    text += known.name;
  }
  return text;
}

uint64_t unpaired(uint64_t row, uint64_t head_dim) {
  const uint64_t within = row % head_dim;
  return row - within + within % 2 * (head_dim / 2) + within / 2;
}

std::string source_name(const SourceTensor& tensor, int64_t layer, int64_t expert) {
  std::string name(tensor.pattern);
  fill_hole(name, layer);
  fill_hole(name, expert);
  return name;
}

}  // namespace quern::huggingface
