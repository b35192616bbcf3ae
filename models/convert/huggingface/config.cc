#include "models/convert/huggingface/config.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/convert/huggingface/json_fields.h"
#include "models/convert/huggingface/rope_config.h"
#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

// A value that is taken over as it is.
struct ConfigRow {
  std::string_view source;  // in config.json
  std::string_view key;     // after "<architecture>."
  bool real = false;
  bool required = false;
};
constexpr ConfigRow kRows[] = {
    {"num_hidden_layers", "block_count", false, true},
    {"max_position_embeddings", "context_length", false, true},
    {"hidden_size", "embedding_length", false, true},
    {"intermediate_size", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count", false, true},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", true, true},
    {"vocab_size", "vocab_size", false, true},
    {"num_local_experts", "expert_count"},
    {"num_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"shared_expert_intermediate_size", "expert_shared_feed_forward_length"},
    {"attn_logit_softcapping", "attn_logit_softcapping", true},
    {"final_logit_softcapping", "final_logit_softcapping", true},
};

Error invalid(const std::string& what) {
  return Error(ErrorKind::kInvalidInput, what + "; config.json is damaged, get it again");
}

Error unsupported(const ModelClass& known, const std::string& what) {
  return Error(ErrorKind::kUnsupported, what + ", which architecture '" + std::string(known.arch) +
                                            "' does not compute, so the model cannot run");
}

Result<const ModelClass*> read_class(const Json& config) {
  QUERN_ASSIGN_OR_RETURN(const auto type, find_text(config, "model_type"));
  std::string name;
  if (const Json* list = find_field(config, "architectures")) {
    if (!list->is_array() || list->empty() || !(*list)[0].is_string()) {
      return invalid("'architectures' is no list of names");
    }
    name = (*list)[0].get<std::string>();
  }
  const ModelClass* known = find_class(name, type.value_or(""));
  if (known != nullptr) return known;
  const std::string shown = name.empty() ? type.value_or("(none)") : name;
  return Error(ErrorKind::kUnsupported, "models of class '" + gguf::printable(shown) +
                                            "' cannot be converted; known are " + class_names());
}

class ConfigReader {
 public:
  ConfigReader(const Json& config, const ModelClass& known, gguf::Metadata& metadata)
      : config_(config),
        known_(known),
        prefix_(std::string(known.arch) + "."),
        metadata_(metadata) {
    out_.model_class = &known;
    out_.spec = arch::find_arch(known.arch);
  }

  Result<ModelConfig> run() {
    metadata_.set("general.architecture", std::string(known_.arch));
    for (const ConfigRow& row : kRows) QUERN_RETURN_IF_ERROR(take(row));
    QUERN_RETURN_IF_ERROR(read_heads());
    QUERN_RETURN_IF_ERROR(read_window());
    QUERN_RETURN_IF_ERROR(read_attention_scale());
    QUERN_RETURN_IF_ERROR(check_activation());
    QUERN_RETURN_IF_ERROR(check_layers());
    QUERN_RETURN_IF_ERROR(check_routing());
    QUERN_RETURN_IF_ERROR(check_caps());
    QUERN_ASSIGN_OR_RETURN(out_.tied, find_bool(config_, "tie_word_embeddings"));
    out_.n_vocab = number("vocab_size");
    return std::move(out_);
  }

 private:
  bool has_key(std::string_view key) const {
    return std::any_of(out_.spec->hyper_params.begin(), out_.spec->hyper_params.end(),
                       [&](const arch::HyperParamRow& row) { return row.key == key; });
  }

  Status take(const ConfigRow& row) {
    const Json* value = find_field(config_, row.source);
    if (value == nullptr) {
      if (!row.required) return ok_status();
      return invalid("'" + std::string(row.source) + "' is missing");
    }
    if (!has_key(row.key)) {
      return unsupported(known_, "'" + std::string(row.source) + "' is set");
    }
    const std::string key = prefix_ + std::string(row.key);
    if (row.real) {
      QUERN_ASSIGN_OR_RETURN(const auto real, find_number(config_, row.source));
      metadata_.set(key, static_cast<float>(*real));
      return ok_status();
    }
    QUERN_ASSIGN_OR_RETURN(const auto whole, find_uint(config_, row.source));
    if (*whole > UINT32_MAX) return invalid("'" + std::string(row.source) + "' is out of range");
    metadata_.set(key, static_cast<uint32_t>(*whole));
    return ok_status();
  }

  // A key that was taken over.
  uint64_t number(const std::string& key) const {
    const auto value = metadata_.find_uint(prefix_ + key);
    return value.ok() ? value->value_or(0) : 0;
  }

  Status read_heads() {
    const uint64_t n_heads = number("attention.head_count");
    if (n_heads == 0) return invalid("'num_attention_heads' is 0");
    QUERN_ASSIGN_OR_RETURN(auto given, find_uint(config_, "head_dim"));
    if (!given && known_.head_dim != 0) given = known_.head_dim;
    head_dim_ = given.value_or(number("embedding_length") / n_heads);
    if (head_dim_ == 0 || head_dim_ > static_cast<uint64_t>(arch::kMaxHeadDim)) {
      return invalid("the size of a head is " + std::to_string(head_dim_));
    }
    if (given) {
      metadata_.set(prefix_ + "attention.key_length", static_cast<uint32_t>(head_dim_));
      metadata_.set(prefix_ + "attention.value_length", static_cast<uint32_t>(head_dim_));
    }
    const RopeShape shape{head_dim_, number("context_length"), known_.rope_theta};
    return read_rope(config_, shape, prefix_, metadata_, out_.tensors);
  }

  Status read_window() {
    if (!known_.has_window) return ok_status();
    QUERN_ASSIGN_OR_RETURN(auto window, find_uint(config_, "sliding_window"));
    // null switches it off; only silence means the class's own.
    if (!window && !config_.contains("sliding_window")) window = known_.window;
    if (window.value_or(0) > UINT32_MAX) return invalid("'sliding_window' is out of range");
    if (window.value_or(0) != 0) {
      metadata_.set(prefix_ + "attention.sliding_window", static_cast<uint32_t>(*window));
    } else if (out_.spec->recipe.window == arch::WindowPattern::kEvenLayers) {
      return unsupported(known_, "'sliding_window' is off");
    }
    return ok_status();
  }

  // Written only where the architecture would compute another one by itself.
  Status read_attention_scale() {
    QUERN_ASSIGN_OR_RETURN(const auto scalar, find_number(config_, "query_pre_attn_scalar"));
    if (!scalar) return ok_status();
    if (!(*scalar > 0)) return invalid("'query_pre_attn_scalar' is not positive");
    const bool by_embedding =
        static_cast<uint64_t>(out_.spec->recipe.embedding_scaled_layers) == number("block_count");
    const double own = by_embedding ? static_cast<double>(number("embedding_length")) /
                                          static_cast<double>(number("attention.head_count"))
                                    : static_cast<double>(head_dim_);
    if (*scalar == own) return ok_status();
    if (!has_key("attention.scale")) {
      return unsupported(known_, "'query_pre_attn_scalar' is set");
    }
    metadata_.set(prefix_ + "attention.scale", static_cast<float>(1.0 / std::sqrt(*scalar)));
    return ok_status();
  }

  Status check_activation() const {
    for (const char* key : {"hidden_activation", "hidden_act"}) {
      QUERN_ASSIGN_OR_RETURN(const auto name, find_text(config_, key));
      if (!name) continue;
      const std::string plain = *name == "swish" ? "silu" : *name;
      if (plain == known_.activation) return ok_status();
      return unsupported(known_, "'" + std::string(key) + "' is '" + gguf::printable(*name) + "'");
    }
    return ok_status();
  }

  // Kinds of attention by layer.
  Status check_layers() const {
    QUERN_ASSIGN_OR_RETURN(const auto both_ways, find_bool(config_, "use_bidirectional_attention"));
    if (both_ways.value_or(false)) {
      return unsupported(known_, "'use_bidirectional_attention' is true");
    }
    const bool even = out_.spec->recipe.window == arch::WindowPattern::kEvenLayers;
    if (const Json* kinds = find_field(config_, "layer_types"); kinds != nullptr) {
      if (!kinds->is_array()) return invalid("'layer_types' is no list");
      for (size_t i = 0; i < kinds->size(); ++i) {
        const bool windowed = even ? i % 2 == 0 : metadata_.contains(window_key());
        if ((*kinds)[i] == (windowed ? "sliding_attention" : "full_attention")) continue;
        return unsupported(
            known_, "'layer_types' has another kind of attention in layer " + std::to_string(i));
      }
      return ok_status();
    }
    QUERN_ASSIGN_OR_RETURN(const auto use, find_bool(config_, "use_sliding_window"));
    QUERN_ASSIGN_OR_RETURN(const auto most, find_uint(config_, "max_window_layers"));
    const bool some = most.value_or(0) < number("block_count");
    if (use.value_or(false) && some && !known_.has_window) {
      return unsupported(known_, "'use_sliding_window' is true");
    }
    return ok_status();
  }

  std::string window_key() const { return prefix_ + "attention.sliding_window"; }

  Status check_routing() const {
    if (number("expert_count") == 0) return ok_status();
    QUERN_ASSIGN_OR_RETURN(const auto step, find_uint(config_, "decoder_sparse_step"));
    const Json* dense = find_field(config_, "mlp_only_layers");
    if (step.value_or(1) != 1 || (dense != nullptr && !dense->empty())) {
      return unsupported(known_, "some layers have no experts");
    }
    if (out_.spec->recipe.experts.divide_feed_forward) {
      // Mixtral has no such switch; the classes that have one leave it off by themselves.
      QUERN_ASSIGN_OR_RETURN(const auto given, find_bool(config_, "norm_topk_prob"));
      const bool normalized = given.value_or(false);
      if (normalized != out_.spec->recipe.experts.normalize_weights) {
        return unsupported(known_,
                           std::string("'norm_topk_prob' is ") + (normalized ? "true" : "false"));
      }
    }
    return ok_status();
  }

  // A cap that is off cannot be said where the architecture has one by itself.
  Status check_caps() const {
    for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
      if (config_.contains(key) && config_[key].is_null() && has_key(key)) {
        return unsupported(known_, "'" + std::string(key) + "' is off");
      }
    }
    return ok_status();
  }

  const Json& config_;
  const ModelClass& known_;
  std::string prefix_;
  gguf::Metadata& metadata_;
  uint64_t head_dim_ = 0;
  ModelConfig out_;
};

}  // namespace

Result<ModelConfig> read_config(const Json& config, gguf::Metadata& metadata) {
  QUERN_ASSIGN_OR_RETURN(const ModelClass* known, read_class(config));
  return ConfigReader(config, *known, metadata).run();
}

}  // namespace quern::huggingface
