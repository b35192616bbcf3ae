// See peft_config.h.
#include "models/convert/huggingface/peft_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "config/base/json.h"
#include "models/convert/huggingface/json_fields.h"
#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

constexpr int64_t kMaxRank = 4096;

// Settings that are read here, and those without effect on what a trained adapter computes.
constexpr std::array<std::string_view, 27> kKnown = {
    "peft_type",         "r",
    "lora_alpha",        "use_rslora",
    "rank_pattern",      "base_model_name_or_path",
    "init_lora_weights", "bias",
    "auto_mapping",      "eva_config",
    "exclude_modules",   "inference_mode",
    "layers_pattern",    "layers_to_transform",
    "lora_dropout",      "megatron_core",
    "peft_version",      "qalora_group_size",
    "revision",          "runtime_config",
    "target_modules",    "task_type",
    "loftq_config",      "corda_config",
    "lora_ga_config",    "arrow_config",
    "_custom_modules",
};

// Refused with their reason; the others that are on are refused without one.
struct Reason {
  std::string_view key;
  std::string_view text;
};
constexpr std::array<Reason, 8> kReasons = {{
    {"use_dora", "DoRA rescales whole matrices, which a low-rank delta cannot say"},
    {"modules_to_save", "it replaces whole modules beside the deltas"},
    {"alpha_pattern", "a file has one alpha for all matrices"},
    {"lora_bias", "it adds biases, which a low-rank delta cannot say"},
    {"layer_replication", "it builds a model of other layers than the base"},
    {"trainable_token_indices", "it changes single embeddings"},
    {"fan_in_fan_out", "its matrices are transposed"},
    {"alora_invocation_tokens", "it begins in the middle of a text"},
}};

std::string shown(const Json& value) { return gguf::printable(dump_json(value), 60); }

bool is_off(const Json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         (value.is_number() && value.get<double>() == 0) ||
         (value.is_string() && value.get_ref<const std::string&>().empty()) ||
         (value.is_structured() && value.empty());
}

Error unsupported(std::string_view key, const Json& value, std::string_view expected) {
  return Error(ErrorKind::kUnsupported,
               std::string(key) + " is " + shown(value) + "; " + std::string(expected));
}

Error invalid(std::string_view key, const Json* value, std::string_view expected) {
  return Error(ErrorKind::kInvalidInput,
               std::string(key) + (value == nullptr ? " is missing" : " is " + shown(*value)) +
                   "; expected " + std::string(expected));
}

Status check_settings(const Json& config) {
  for (const auto& [key, value] : config.items()) {
    if (is_off(value) || std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end()) continue;
    const auto reason = std::find_if(kReasons.begin(), kReasons.end(),
                                     [&](const Reason& one) { return one.key == key; });
    const std::string why =
        reason == kReasons.end() ? "what it does is not known here" : std::string(reason->text);
    return unsupported(gguf::printable(key), value,
                       why + "; merge the adapter into the model and convert that");
  }
  return ok_status();
}

// Ways of initialising that also change the base leave an adapter that fits only the changed one.
Status check_initialisation(const Json& config) {
  const Json* init = find_field(config, "init_lora_weights");
  if (init == nullptr || init->is_boolean()) return ok_status();
  constexpr std::array<std::string_view, 3> kOfTheAdapterOnly = {"gaussian", "eva", "orthogonal"};
  const std::string name = init->is_string() ? init->get<std::string>() : "";
  if (std::find(kOfTheAdapterOnly.begin(), kOfTheAdapterOnly.end(), name) !=
      kOfTheAdapterOnly.end()) {
    return ok_status();
  }
  return unsupported("init_lora_weights", *init,
                     "that changes the base model as well; save the adapter converted to plain "
                     "LoRA (path_initial_model_for_weight_conversion)");
}

Status check_kind(const Json& config) {
  const Json* type = find_field(config, "peft_type");
  if (type == nullptr || *type != "LORA") return invalid("peft_type", type, "\"LORA\"");
  const Json* bias = find_field(config, "bias");
  if (bias != nullptr && *bias != "none") {
    return unsupported("bias", *bias,
                       "expected \"none\": biases are no part of a low-rank adapter; merge it into "
                       "the model and convert that");
  }
  return ok_status();
}

Status read_numbers(const Json& config, PeftConfig& out) {
  const Json* rank = find_field(config, "r");
  if (rank != nullptr && rank->is_number_integer()) out.rank = rank->get<int64_t>();
  if (out.rank < 1 || out.rank > kMaxRank) {
    return invalid("r", rank, "the rank, from 1 to " + std::to_string(kMaxRank));
  }
  const Json* alpha = find_field(config, "lora_alpha");
  if (alpha != nullptr && alpha->is_number()) out.alpha = alpha->get<double>();
  if (!(std::fabs(out.alpha) > 1e-6 && std::fabs(out.alpha) < 1e6)) {
    return invalid("lora_alpha", alpha, "a number other than 0, below a million");
  }
  const Json* stabilized = find_field(config, "use_rslora");
  if (stabilized != nullptr && !stabilized->is_boolean()) {
    return invalid("use_rslora", stabilized, "true or false");
  }
  out.rank_stabilized = stabilized != nullptr && stabilized->get<bool>();
  const Json* pattern = find_field(config, "rank_pattern");
  out.has_rank_pattern = pattern != nullptr && !is_off(*pattern);
  return ok_status();
}

}  // namespace

Result<PeftConfig> parse_peft_config(std::string_view json) {
  QUERN_ASSIGN_OR_RETURN(const Json config, parse_json(json));
  if (!config.is_object()) {
    return Error(ErrorKind::kInvalidInput, "it holds no JSON object; get the adapter again");
  }
  PeftConfig out;
  QUERN_RETURN_IF_ERROR(check_kind(config));
  QUERN_RETURN_IF_ERROR(check_settings(config));
  QUERN_RETURN_IF_ERROR(check_initialisation(config));
  QUERN_RETURN_IF_ERROR(read_numbers(config, out));
  const Json* base = find_field(config, "base_model_name_or_path");
  if (base != nullptr && base->is_string()) out.base_model = base->get<std::string>();
  return out;
}

}  // namespace quern::huggingface
