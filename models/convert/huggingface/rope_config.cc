#include "models/convert/huggingface/rope_config.h"

#include <cmath>
#include <numbers>
#include <optional>

#include "models/arch/arch_spec.h"
#include "models/convert/huggingface/json_fields.h"
#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

using arch::TensorRole;

Error invalid(const std::string& what) {
  return Error(ErrorKind::kInvalidInput,
               "the rotary embedding " + what + "; config.json is damaged, get it again");
}

Error unsupported(const std::string& what) {
  return Error(ErrorKind::kUnsupported,
               "the rotary embedding " + what + ", which no architecture here computes");
}

class RopeReader {
 public:
  RopeReader(const Json& config, const RopeShape& shape, const std::string& prefix,
             gguf::Metadata& metadata, std::vector<ConfigTensor>& tensors)
      : config_(config), shape_(shape), prefix_(prefix), metadata_(metadata), tensors_(tensors) {
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
      if (scaling_ == nullptr) scaling_ = find_field(config, key);
    }
  }

  Status run() {
    QUERN_ASSIGN_OR_RETURN(const auto theta, number("rope_theta"));
    base_ = theta.value_or(shape_.theta);
    set("freq_base", base_);
    QUERN_ASSIGN_OR_RETURN(const auto part, number("partial_rotary_factor"));
    if (!(part.value_or(1) > 0 && part.value_or(1) <= 1)) {
      return invalid("has a partial_rotary_factor that is not above 0 and at most 1");
    }
    n_rot_ = static_cast<uint64_t>(static_cast<double>(shape_.head_dim) * part.value_or(1));
    metadata_.set(prefix_ + "rope.dimension_count", static_cast<uint32_t>(n_rot_));
    QUERN_ASSIGN_OR_RETURN(const std::string kind, read_kind());
    if (kind == "default" || kind == "none") return ok_status();
    if (kind == "linear") return read_linear();
    if (kind == "yarn") return read_yarn();
    if (kind == "llama3") return read_llama3();
    if (kind == "longrope" || kind == "su") return read_long();
    return unsupported("is of the kind '" + gguf::printable(kind) +
                       "' (expected default, linear, yarn, llama3 or longrope)");
  }

 private:
  // Beside the scaling, or on the top level as older files have it.
  Result<std::optional<double>> number(std::string_view key) const {
    if (scaling_ != nullptr) {
      QUERN_ASSIGN_OR_RETURN(const auto inner, find_number(*scaling_, key));
      if (inner) return inner;
    }
    return find_number(config_, key);
  }

  Result<double> need(std::string_view key) const {
    QUERN_ASSIGN_OR_RETURN(const auto value, number(key));
    if (value && *value > 0 && std::isfinite(*value)) return *value;
    return invalid("needs a positive '" + std::string(key) + "'");
  }

  Result<std::string> read_kind() const {
    if (scaling_ == nullptr) return std::string("default");
    QUERN_ASSIGN_OR_RETURN(const auto kind, find_text(*scaling_, "rope_type"));
    if (kind) return *kind;
    QUERN_ASSIGN_OR_RETURN(const auto old_kind, find_text(*scaling_, "type"));
    return old_kind.value_or("default");
  }

  void set(const std::string& key, double value) {
    metadata_.set(prefix_ + "rope." + key, static_cast<float>(value));
  }
  void set_kind(const std::string& kind) { metadata_.set(prefix_ + "rope.scaling.type", kind); }

  // The context before it was extended.
  Result<double> original_context() const {
    QUERN_ASSIGN_OR_RETURN(const auto value, number("original_max_position_embeddings"));
    const double context = value.value_or(static_cast<double>(shape_.context));
    if (context > 1 && context < 1e9) return context;
    return invalid("has an original_max_position_embeddings that is out of range");
  }
  void set_original_context(double context) {
    metadata_.set(prefix_ + "rope.scaling.original_context_length", static_cast<uint32_t>(context));
  }

  Status read_linear() {
    QUERN_ASSIGN_OR_RETURN(const double factor, need("factor"));
    set_kind("linear");
    set("scaling.factor", factor);
    return ok_status();
  }

  Status read_yarn() {
    QUERN_ASSIGN_OR_RETURN(const double original, original_context());
    QUERN_ASSIGN_OR_RETURN(const auto given, number("factor"));
    const double factor = given.value_or(static_cast<double>(shape_.context) / original);
    if (!(factor > 0)) return invalid("has a 'factor' that is not positive");
    QUERN_ASSIGN_OR_RETURN(const auto truncate, find_bool(*scaling_, "truncate"));
    if (!truncate.value_or(true)) return unsupported("is yarn that does not truncate");
    set_kind("yarn");
    set("scaling.factor", factor);
    set_original_context(original);
    QUERN_ASSIGN_OR_RETURN(const auto fast, number("beta_fast"));
    QUERN_ASSIGN_OR_RETURN(const auto slow, number("beta_slow"));
    if (fast) set("scaling.yarn_beta_fast", *fast);
    if (slow) set("scaling.yarn_beta_slow", *slow);
    return read_yarn_attention(factor);
  }

  // The file's factor comes on top of the paper's 1 + 0.1 ln(factor).
  Status read_yarn_attention(double factor) {
    const auto magnitude = [&](double scale) {
      return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
    };
    QUERN_ASSIGN_OR_RETURN(auto attention, number("attention_factor"));
    QUERN_ASSIGN_OR_RETURN(const auto scale, number("mscale"));
    QUERN_ASSIGN_OR_RETURN(const auto all_dims, number("mscale_all_dim"));
    if (!attention && scale.value_or(0) != 0 && all_dims.value_or(0) != 0) {
      attention = magnitude(*scale) / magnitude(*all_dims);
    }
    if (attention) set("scaling.attn_factor", *attention / magnitude(1));
    return ok_status();
  }

  // Slow turns are divided by the factor, fast ones are kept, those between are blended.
  Status read_llama3() {
    QUERN_ASSIGN_OR_RETURN(const double factor, need("factor"));
    QUERN_ASSIGN_OR_RETURN(const double low, need("low_freq_factor"));
    QUERN_ASSIGN_OR_RETURN(const double high, need("high_freq_factor"));
    QUERN_ASSIGN_OR_RETURN(const double original, original_context());
    if (!(high > low)) return invalid("has a high_freq_factor that is not above low_freq_factor");
    std::vector<float> divisors;
    for (uint64_t pair = 0; pair < n_rot_ / 2; ++pair) {
      const double frequency =
          std::pow(base_, -2.0 * static_cast<double>(pair) / static_cast<double>(n_rot_));
      const double turns = original * frequency / (2 * std::numbers::pi);
      const double kept = turns < low ? 0 : turns > high ? 1 : (turns - low) / (high - low);
      divisors.push_back(static_cast<float>(1.0 / ((1 - kept) / factor + kept)));
    }
    tensors_.push_back({TensorRole::kRopeFactors, std::move(divisors)});
    return ok_status();
  }

  Status read_long() {
    QUERN_ASSIGN_OR_RETURN(const double original, original_context());
    set_kind("longrope");
    set_original_context(original);
    QUERN_ASSIGN_OR_RETURN(auto attention, number("attention_factor"));
    if (!attention) {
      QUERN_ASSIGN_OR_RETURN(const auto given, number("factor"));
      const double factor = given.value_or(static_cast<double>(shape_.context) / original);
      attention = factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original));
    }
    set("scaling.attn_factor", *attention);
    QUERN_RETURN_IF_ERROR(read_factors("long_factor", TensorRole::kRopeFactorsLong));
    return read_factors("short_factor", TensorRole::kRopeFactorsShort);
  }

  Status read_factors(const std::string& key, TensorRole role) {
    const Json* list = find_field(*scaling_, key);
    if (list == nullptr || !list->is_array() || list->size() != n_rot_ / 2) {
      return invalid("needs '" + key + "', a list of " + std::to_string(n_rot_ / 2) + " numbers");
    }
    std::vector<float> values;
    for (const Json& item : *list) {
      if (!item.is_number() || !(item.get<double>() > 0)) {
        return invalid("has something in '" + key + "' that is no positive number");
      }
      values.push_back(item.get<float>());
    }
    tensors_.push_back({role, std::move(values)});
    return ok_status();
  }

  const Json& config_;
  const RopeShape& shape_;
  const std::string& prefix_;
  gguf::Metadata& metadata_;
  std::vector<ConfigTensor>& tensors_;
  const Json* scaling_ = nullptr;
  double base_ = 0;
  uint64_t n_rot_ = 0;
};

}  // namespace

Status read_rope(const Json& config, const RopeShape& shape, const std::string& prefix,
                 gguf::Metadata& metadata, std::vector<ConfigTensor>& tensors) {
  return RopeReader(config, shape, prefix, metadata, tensors).run();
}

}  // namespace quern::huggingface
