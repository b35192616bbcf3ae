// Reads hyper-parameters by an architecture's table and cross-checks them.
#include "models/arch/hyper_params.h"

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "models/arch/arch_spec.h"

namespace quern::arch {
namespace {

constexpr std::string_view kNextStep =
    "; the file is damaged or describes no model that can run, get it again or convert it anew";

Error invalid(const std::string& key, const std::string& found, const std::string& expected) {
  return Error(ErrorKind::kInvalidInput,
               key + " is " + found + "; expected " + expected + std::string(kNextStep));
}

std::string real_text(double value) {
  std::string text = std::to_string(value);
  if (text.find('.') == std::string::npos) return text;  // nan, inf
  // to_string prints six decimals; small values need an exponent.
  if (value != 0 && std::fabs(value) < 1e-3) {
    const int exponent = static_cast<int>(std::floor(std::log10(std::fabs(value))));
    return std::to_string(value / std::pow(10.0, exponent)) + "e" + std::to_string(exponent);
  }
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

// An integer of any kind in the file; values beyond int64 are cut to its ends, which lie outside
// every range.
template <typename T>
int64_t to_int64(T value) {
  if constexpr (std::is_same_v<T, uint64_t>) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return std::numeric_limits<int64_t>::max();
    }
  }
  return static_cast<int64_t>(value);
}

template <typename T>
inline constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <typename T>
struct IsIntegerVector : std::false_type {};
template <typename T>
struct IsIntegerVector<std::vector<T>> : std::bool_constant<kIsInteger<T>> {};

// The value as integers: one for a scalar, several for an array, nothing for other kinds.
std::optional<std::vector<int64_t>> integers_of(const gguf::Value& value, bool allow_array) {
  return std::visit(
      [&](const auto& held) -> std::optional<std::vector<int64_t>> {
        using T = std::decay_t<decltype(held)>;
        if constexpr (kIsInteger<T>) {
          return std::vector<int64_t>{to_int64(held)};
        } else if constexpr (IsIntegerVector<T>::value) {
          if (!allow_array) return std::nullopt;
          std::vector<int64_t> out;
          out.reserve(held.size());
          for (const auto item : held) out.push_back(to_int64(item));
          return out;
        } else {
          return std::nullopt;
        }
      },
      value);
}

std::optional<double> real_of(const gguf::Value& value) {
  if (const auto* narrow = std::get_if<float>(&value)) return static_cast<double>(*narrow);
  if (const auto* wide = std::get_if<double>(&value)) return *wide;
  return std::nullopt;
}

std::string kind_text(const gguf::Value& value) {
  return "a value of type " + std::string(gguf::value_kind_name(gguf::value_kind(value)));
}

std::string integer_range(const HyperParamRow& row) {
  return "an integer from " + std::to_string(static_cast<int64_t>(row.min)) + " to " +
         std::to_string(static_cast<int64_t>(row.max));
}

// One value, or one per layer when all are equal.
Result<int64_t> single_value(const std::string& key, const HyperParamRow& row,
                             const gguf::Value& value, int64_t n_layers) {
  const auto values = integers_of(value, row.per_layer);
  if (!values) return invalid(key, kind_text(value), integer_range(row));
  const bool is_array = gguf::value_kind(value) == gguf::ValueKind::kArray;
  if (!is_array) return values->front();
  if (static_cast<int64_t>(values->size()) != n_layers) {
    return invalid(key, "an array of " + std::to_string(values->size()) + " values",
                   "one value or one for each of the " + std::to_string(n_layers) + " layers");
  }
  for (size_t i = 1; i < values->size(); ++i) {
    if ((*values)[i] != (*values)[0]) {
      return Error(ErrorKind::kUnsupported,
                   key + " differs between layers (" + std::to_string((*values)[0]) +
                       " in layer 0, " + std::to_string((*values)[i]) + " in layer " +
                       std::to_string(i) +
                       "); only models whose layers all have the same shape can run");
    }
  }
  return values->front();
}

Status read_row(const std::string& prefix, const HyperParamRow& row, const gguf::Metadata& metadata,
                HyperParams& hyper) {
  const std::string key = prefix + std::string(row.key);
  const gguf::Value* value = metadata.find(key);
  if (value == nullptr) {
    if (row.presence == Presence::kRequired) {
      return Error(ErrorKind::kInvalidInput,
                   key + " is missing; expected " +
                       (row.integer != nullptr ? integer_range(row) : "a float") +
                       std::string(kNextStep));
    }
    if (row.integer != nullptr) {
      hyper.*row.integer = static_cast<int64_t>(row.fallback);
    } else {
      hyper.*row.real = row.fallback;
    }
    return ok_status();
  }
  if (row.integer != nullptr) {
    QUERN_ASSIGN_OR_RETURN(const int64_t number, single_value(key, row, *value, hyper.n_layers));
    if (number < static_cast<int64_t>(row.min) || number > static_cast<int64_t>(row.max)) {
      return invalid(key, std::to_string(number), integer_range(row));
    }
    hyper.*row.integer = number;
    return ok_status();
  }
  const auto number = real_of(*value);
  const std::string range = "a float from " + real_text(row.min) + " to " + real_text(row.max);
  if (!number) return invalid(key, kind_text(*value), range);
  // Written so that NaN fails.
  if (!(*number >= row.min && *number <= row.max)) return invalid(key, real_text(*number), range);
  hyper.*row.real = *number;
  return ok_status();
}

// YaRN variants whose keys implementations read differently: refused rather than guessed. 1 and -1
// (unset) change nothing.
Status refuse_yarn_variants(const std::string& prefix, const gguf::Metadata& metadata) {
  for (const std::string_view name : {"yarn_ext_factor", "yarn_attn_factor"}) {
    const std::string key = prefix + "rope.scaling." + std::string(name);
    QUERN_ASSIGN_OR_RETURN(const auto value, metadata.find_float(key));
    if (value.has_value() && *value != 1.0 && *value != -1.0) {
      return Error(ErrorKind::kUnsupported,
                   key + " is " + real_text(*value) +
                       "; only models with the plain YaRN of the paper (1) can run");
    }
  }
  return ok_status();
}

// rope.scaling.type and .factor, with the older key rope.scale_linear.
Status read_rope_scaling(const std::string& prefix, const gguf::Metadata& metadata,
                         HyperParams& hyper) {
  const std::string type_key = prefix + "rope.scaling.type";
  QUERN_ASSIGN_OR_RETURN(const auto type, metadata.find_string(type_key));
  std::string factor_key = prefix + "rope.scaling.factor";
  if (!metadata.contains(factor_key) && metadata.contains(prefix + "rope.scale_linear")) {
    factor_key = prefix + "rope.scale_linear";
  }
  const bool has_factor = metadata.contains(factor_key);
  if (!type.has_value()) {
    hyper.rope_scaling = has_factor ? RopeScaling::kLinear : RopeScaling::kNone;
  } else if (*type == "none") {
    hyper.rope_scaling = RopeScaling::kNone;
  } else if (*type == "linear") {
    hyper.rope_scaling = RopeScaling::kLinear;
  } else if (*type == "yarn") {
    hyper.rope_scaling = RopeScaling::kYarn;
    QUERN_RETURN_IF_ERROR(refuse_yarn_variants(prefix, metadata));
  } else if (*type == "longrope" || *type == "su") {
    hyper.rope_scaling = RopeScaling::kLongRope;
  } else {
    return Error(ErrorKind::kUnsupported,
                 type_key + " is \"" + std::string(*type) +
                     "\"; expected none, linear, yarn or longrope, so this model cannot run yet");
  }
  const bool uses_factor =
      hyper.rope_scaling == RopeScaling::kLinear || hyper.rope_scaling == RopeScaling::kYarn;
  if (!has_factor || !uses_factor) return ok_status();
  const std::string suffix = factor_key.substr(prefix.size());
  const HyperParamRow row{suffix, nullptr, &HyperParams::rope_factor, Presence::kRequired, 0, 1e-3,
                          1e6,    false};
  return read_row(prefix, row, metadata, hyper);
}

// Ways of choosing and placing experts that no architecture here has: refused rather than ignored.
// An absent key and the value given mean what the recipes do.
Status refuse_routing_variants(const ArchSpec& spec, const std::string& prefix,
                               const gguf::Metadata& metadata) {
  struct Variant {
    std::string_view key;
    double plain;
    std::string_view meaning;
  };
  constexpr Variant kVariants[] = {
      {"expert_gating_func", 1, "weights by softmax"},
      {"expert_group_count", 1, "experts in one group"},
      {"expert_weights_scale", 1, "weights that are not scaled"},
      {"leading_dense_block_count", 0, "experts in every layer"},
  };
  for (const Variant& variant : kVariants) {
    const std::string key = prefix + std::string(variant.key);
    const gguf::Value* value = metadata.find(key);
    if (value == nullptr) continue;
    const auto whole = integers_of(*value, false);
    const auto number =
        whole ? std::optional(static_cast<double>(whole->front())) : real_of(*value);
    if (number == variant.plain) continue;
    return Error(ErrorKind::kUnsupported, key + " is " +
                                              (number ? real_text(*number) : kind_text(*value)) +
                                              "; only models with " + std::string(variant.meaning) +
                                              " (" + real_text(variant.plain) + ") can run");
  }
  const std::string key = prefix + "expert_weights_norm";
  QUERN_ASSIGN_OR_RETURN(const auto normalized, metadata.find_bool(key));
  if (normalized.has_value() && *normalized != spec.recipe.experts.normalize_weights) {
    return Error(ErrorKind::kUnsupported, key + " is " + (*normalized ? "true" : "false") +
                                              ", unlike in other models of this architecture, so "
                                              "this model cannot run");
  }
  return ok_status();
}

Status derive_expert_widths(const ArchSpec& spec, const std::string& prefix, HyperParams& hyper) {
  if (hyper.n_expert_feed_forward == 0) {
    const int64_t share = spec.recipe.experts.divide_feed_forward ? hyper.n_experts_used : 1;
    hyper.n_expert_feed_forward = hyper.n_feed_forward / share;
  }
  if (hyper.n_expert_feed_forward == 0) {
    return Error(ErrorKind::kInvalidInput,
                 prefix + "expert_feed_forward_length is missing" + std::string(kNextStep));
  }
  if (!spec.uses(Dim::kSharedFeedForward)) return ok_status();
  if (hyper.n_shared_feed_forward == 0) hyper.n_shared_feed_forward = hyper.n_feed_forward;
  if (hyper.n_shared_feed_forward == 0) {
    return Error(ErrorKind::kInvalidInput,
                 prefix + "expert_shared_feed_forward_length is missing" + std::string(kNextStep));
  }
  return ok_status();
}

Status derive_experts(const ArchSpec& spec, const std::string& prefix,
                      const gguf::Metadata& metadata, HyperParams& hyper) {
  const std::string used_key = prefix + "expert_used_count";
  if (hyper.n_experts_used > hyper.n_experts) {
    return invalid(
        used_key, std::to_string(hyper.n_experts_used),
        "at most " + prefix + "expert_count, which is " + std::to_string(hyper.n_experts));
  }
  if (hyper.n_experts == 0) return ok_status();
  if (!spec.uses(Dim::kExperts)) {
    return Error(ErrorKind::kUnsupported,
                 prefix + "expert_count is " + std::to_string(hyper.n_experts) + "; models of " +
                     std::string(spec.name) + " run without experts only, use a dense model");
  }
  if (hyper.n_experts_used == 0) {
    return invalid(used_key, metadata.contains(used_key) ? "0" : "missing",
                   "1 to " + prefix + "expert_count, which is " + std::to_string(hyper.n_experts));
  }
  QUERN_RETURN_IF_ERROR(refuse_routing_variants(spec, prefix, metadata));
  return derive_expert_widths(spec, prefix, hyper);
}

Status derive_heads(const std::string& prefix, HyperParams& hyper) {
  const std::string heads_key = prefix + "attention.head_count";
  if (hyper.n_heads > hyper.n_embedding) {
    return invalid(
        heads_key, std::to_string(hyper.n_heads),
        "at most " + prefix + "embedding_length, which is " + std::to_string(hyper.n_embedding));
  }
  if (hyper.n_kv_heads == 0) hyper.n_kv_heads = hyper.n_heads;
  if (hyper.n_kv_heads > hyper.n_heads || hyper.n_heads % hyper.n_kv_heads != 0) {
    return invalid(heads_key + "_kv", std::to_string(hyper.n_kv_heads),
                   "a divisor of " + heads_key + ", which is " + std::to_string(hyper.n_heads));
  }
  if (hyper.head_dim == 0) {
    if (hyper.n_embedding % hyper.n_heads != 0) {
      return invalid(prefix + "embedding_length", std::to_string(hyper.n_embedding),
                     "a multiple of " + heads_key + ", which is " + std::to_string(hyper.n_heads) +
                         ", as there is no attention.key_length");
    }
    hyper.head_dim = hyper.n_embedding / hyper.n_heads;
    if (hyper.head_dim > kMaxHeadDim) {
      return invalid(heads_key, std::to_string(hyper.n_heads),
                     "heads of at most " + std::to_string(kMaxHeadDim) + " values, not " +
                         std::to_string(hyper.head_dim));
    }
  }
  if (hyper.value_dim == 0) hyper.value_dim = hyper.head_dim;
  if (hyper.value_dim != hyper.head_dim) {
    return Error(ErrorKind::kUnsupported,
                 prefix + "attention.value_length is " + std::to_string(hyper.value_dim) +
                     " and the size of a key is " + std::to_string(hyper.head_dim) +
                     "; only models with equal sizes can run");
  }
  return ok_status();
}

Status derive_rope(const std::string& prefix, HyperParams& hyper) {
  const std::string key = prefix + "rope.dimension_count";
  if (hyper.n_rot == 0) hyper.n_rot = hyper.head_dim;
  if (hyper.n_rot > hyper.head_dim || hyper.n_rot % 2 != 0) {
    return invalid(
        key, std::to_string(hyper.n_rot),
        "an even number up to the head size, which is " + std::to_string(hyper.head_dim));
  }
  if (hyper.rope_original_context == 0) hyper.rope_original_context = hyper.context_length;
  return ok_status();
}

Status derive_vocab(const std::string& prefix, int64_t n_tokens, HyperParams& hyper) {
  if (n_tokens < 1 || n_tokens > kMaxVocab) {
    return invalid("tokenizer.ggml.tokens", "a list of " + std::to_string(n_tokens) + " tokens",
                   "1 to " + std::to_string(kMaxVocab) + " tokens");
  }
  if (hyper.n_vocab != 0 && hyper.n_vocab != n_tokens) {
    return invalid(prefix + "vocab_size", std::to_string(hyper.n_vocab),
                   "the length of tokenizer.ggml.tokens, which is " + std::to_string(n_tokens));
  }
  hyper.n_vocab = n_tokens;
  return ok_status();
}

}  // namespace

Result<HyperParams> read_hyper_params(const ArchSpec& spec, const gguf::Metadata& metadata,
                                      int64_t n_tokens) {
  HyperParams hyper;
  const std::string prefix = std::string(spec.name) + ".";
  // Tables list block_count first: per-layer arrays are compared with it.
  for (const HyperParamRow& row : spec.hyper_params) {
    QUERN_RETURN_IF_ERROR(read_row(prefix, row, metadata, hyper));
  }
  QUERN_RETURN_IF_ERROR(derive_experts(spec, prefix, metadata, hyper));
  QUERN_RETURN_IF_ERROR(derive_heads(prefix, hyper));
  QUERN_RETURN_IF_ERROR(read_rope_scaling(prefix, metadata, hyper));
  QUERN_RETURN_IF_ERROR(derive_rope(prefix, hyper));
  QUERN_RETURN_IF_ERROR(derive_vocab(prefix, n_tokens, hyper));
  if (hyper.attention_scale == 0) {
    const bool by_embedding = spec.recipe.embedding_scaled_layers == hyper.n_layers;
    const double width =
        by_embedding ? static_cast<double>(hyper.n_embedding) / static_cast<double>(hyper.n_heads)
                     : static_cast<double>(hyper.head_dim);
    hyper.attention_scale = 1.0 / std::sqrt(width);
  }
  return hyper;
}

}  // namespace quern::arch
