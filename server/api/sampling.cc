// See sampling.h.
#include "server/api/sampling.h"

#include <algorithm>
#include <array>

#include "engine/sample/dry.h"
#include "engine/sample/stages.h"

namespace quern::api {
namespace {

using engine::SamplingParams;

constexpr double kMaxInt = 2147483647.0;

constexpr std::array kFields = {
    ranged("top_n_sigma", FieldType::kNumber, -1, 100),
    ranged("dry_multiplier", FieldType::kNumber, 0, 100),
    ranged("dry_base", FieldType::kNumber, 1, 100),
    ranged("dry_allowed_length", FieldType::kInteger, 0, kMaxInt),
    ranged("dry_penalty_last_n", FieldType::kInteger, -1, kMaxInt),
    read_field("dry_sequence_breakers", FieldType::kArray),
    ranged("xtc_probability", FieldType::kNumber, 0, 1),
    ranged("xtc_threshold", FieldType::kNumber, 0, 1),
    ranged("dynatemp_range", FieldType::kNumber, 0, 100),
    ranged("dynatemp_exponent", FieldType::kNumber, 0, 100),
    ranged("mirostat", FieldType::kInteger, 0, 2),
    ranged("mirostat_tau", FieldType::kNumber, 0, 100),
    ranged("mirostat_eta", FieldType::kNumber, 0, 100),
    read_field("samplers", FieldType::kAny),
    refused("adaptive_target", -1),
    refused("min_keep"),
};

struct RealField {
  std::string_view name;
  float SamplingParams::*member;
};
constexpr RealField kReals[] = {
    {"top_n_sigma", &SamplingParams::top_n_sigma},
    {"dry_multiplier", &SamplingParams::dry_multiplier},
    {"dry_base", &SamplingParams::dry_base},
    {"xtc_probability", &SamplingParams::xtc_probability},
    {"xtc_threshold", &SamplingParams::xtc_threshold},
    {"dynatemp_range", &SamplingParams::dynatemp_range},
    {"dynatemp_exponent", &SamplingParams::dynatemp_exponent},
    {"mirostat_tau", &SamplingParams::mirostat_tau},
    {"mirostat_eta", &SamplingParams::mirostat_eta},
};

struct WholeField {
  std::string_view name;
  int32_t SamplingParams::*member;
};
constexpr WholeField kWholes[] = {
    {"dry_allowed_length", &SamplingParams::dry_allowed_length},
    {"dry_penalty_last_n", &SamplingParams::dry_window},
    {"mirostat", &SamplingParams::mirostat},
};

// What mirostat takes the place of.
constexpr std::string_view kReplaced[] = {
    "top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold"};

// The engine's message begins with the name of the field.
MaybeError of_field(std::string_view prefix, const std::string& path, const Error& error) {
  return field_error(path, std::string(prefix) + error.message() + ".");
}

MaybeError read_breakers(const Json& object, std::string_view prefix, SamplingParams& out) {
  const Json* list = find_field(object, "dry_sequence_breakers");
  if (list == nullptr) return std::nullopt;
  const std::string path = std::string(prefix) + "dry_sequence_breakers";
  const bool strings =
      std::all_of(list->begin(), list->end(), [](const Json& item) { return item.is_string(); });
  if (!strings || list->empty()) {
    return field_error(path, "'" + path + "' must be an array of strings, at least one.");
  }
  for (const Json& item : *list) out.dry_breakers.push_back(item.get<std::string>());
  const Status valid = engine::validate_dry_breakers(out.dry_breakers);
  return valid.ok() ? std::nullopt : of_field(prefix, path, valid.error());
}

MaybeError read_stages(const Json& object, std::string_view prefix, SamplingParams& out) {
  const Json* list = find_field(object, "samplers");
  if (list == nullptr || list->empty()) return std::nullopt;
  const std::string path = std::string(prefix) + "samplers";
  const bool names =
      list->is_array() &&
      std::all_of(list->begin(), list->end(), [](const Json& item) { return item.is_string(); });
  if (!names && !list->is_string()) {
    return field_error(path, "'" + path + "' must be an array of names or a string of letters.");
  }
  auto stages = names ? engine::stages_of_names(list->get<std::vector<std::string>>())
                      : engine::stages_of_letters(list->get_ref<const std::string&>());
  if (!stages.ok()) return of_field(prefix, path, stages.error());
  out.stages = std::move(stages).value();
  return std::nullopt;
}

}  // namespace

const std::span<const FieldSpec> kSamplerFields = kFields;

MaybeError read_samplers(const Json& object, std::string_view prefix, SamplingParams& out,
                         std::vector<std::string>& unused) {
  for (const auto& [name, member] : kReals) {
    out.*member = static_cast<float>(read_number(object, name, out.*member));
  }
  for (const auto& [name, member] : kWholes) {
    out.*member = static_cast<int32_t>(read_integer(object, name, out.*member));
  }
  for (const std::string_view name : kReplaced) {
    const bool given = out.mirostat != 0 && find_field(object, name) != nullptr;
    if (given) unused.push_back(std::string(prefix) + std::string(name));
  }
  if (MaybeError error = read_breakers(object, prefix, out)) return error;
  return read_stages(object, prefix, out);
}

}  // namespace quern::api
