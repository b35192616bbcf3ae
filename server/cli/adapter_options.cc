#include "server/cli/adapter_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "config/options/options.h"
#include "engine/run/admission.h"
#include "server/api/app/describe_model.h"

namespace quern::cli {
namespace {

Error bad_adapter(const std::string& value, std::string_view what) {
  return Error(ErrorKind::kInvalidInput,
               "--lora " + value + ": " + std::string(what) + "; expected [NAME=]FILE[:SCALE]");
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

// What follows the last colon, if it reads as a number; a colon may also be part of a file's name.
std::optional<float> scale_of(std::string_view text) {
  float scale = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), scale);
  if (end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return INFINITY;
  return error == std::errc() ? std::optional(scale) : std::nullopt;
}

Result<AdapterChoice> parse_adapter(const std::string& value) {
  AdapterChoice out;
  std::string_view rest = value;
  if (const size_t at = rest.find('=');
      at != std::string_view::npos && is_name(rest.substr(0, at))) {
    out.name = rest.substr(0, at);
    rest.remove_prefix(at + 1);
  }
  if (const size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    if (const auto scale = scale_of(rest.substr(colon + 1))) {
      if (!(std::fabs(*scale) <= engine::kMaxAdapterScale)) {
        return bad_adapter(value, "the scale must be a number from -1000 to 1000");
      }
      out.scale = *scale;
      rest = rest.substr(0, colon);
    }
  }
  if (rest.empty()) return bad_adapter(value, "no file is named");
  out.path = rest;
  if (out.name.empty()) out.name = api::model_id_from(api::model_stem(out.path));
  return out;
}

std::string scale_text(float scale) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%g", static_cast<double>(scale));
  return buffer;
}

}  // namespace

Result<std::vector<AdapterChoice>> parse_adapters(const std::vector<std::string>& values) {
  std::vector<AdapterChoice> out;
  for (const std::string& value : values) {
    QUERN_ASSIGN_OR_RETURN(AdapterChoice choice, parse_adapter(value));
    const bool taken = std::any_of(out.begin(), out.end(), [&](const AdapterChoice& other) {
      return other.name == choice.name;
    });
    if (taken) {
      return bad_adapter(value, "there is another adapter called '" + choice.name +
                                    "', give one of them a name of its own");
    }
    out.push_back(std::move(choice));
  }
  return out;
}

Result<std::vector<loader::AdapterFacts>> read_adapters(const std::vector<AdapterChoice>& choices) {
  std::vector<loader::AdapterFacts> out;
  for (const AdapterChoice& choice : choices) {
    QUERN_ASSIGN_OR_RETURN(const auto file, gguf::GgufFile::open(choice.path));
    QUERN_ASSIGN_OR_RETURN(loader::AdapterFacts facts, loader::read_adapter_facts(*file));
    out.push_back(std::move(facts));
  }
  return out;
}

std::vector<api::ListedAdapter> list_adapters(const std::vector<AdapterChoice>& choices,
                                              const std::vector<loader::AdapterFacts>& facts) {
  std::vector<api::ListedAdapter> out;
  for (size_t i = 0; i < choices.size(); ++i) {
    out.push_back({choices[i].name, choices[i].path, choices[i].scale, facts[i].file_bytes,
                   api::modified_unix_s(choices[i].path)});
  }
  return out;
}

Result<std::vector<std::shared_ptr<const loader::Adapter>>> load_adapters(
    const std::vector<AdapterChoice>& choices, const loader::Model& model,
    backend::Backend& backend) {
  std::vector<std::shared_ptr<const loader::Adapter>> out;
  for (const AdapterChoice& choice : choices) {
    QUERN_ASSIGN_OR_RETURN(auto file, gguf::GgufFile::open(choice.path));
    QUERN_ASSIGN_OR_RETURN(auto adapter, loader::Adapter::load(std::move(file), model, backend));
    out.push_back(std::move(adapter));
  }
  return out;
}

std::string describe_adapter(const AdapterChoice& choice, const loader::Adapter& adapter) {
  const loader::AdapterFacts& facts = adapter.facts();
  std::string rank = std::to_string(facts.min_rank);
  if (facts.max_rank != facts.min_rank) rank += " to " + std::to_string(facts.max_rank);
  return choice.name + " (LoRA of rank " + rank + " on " + std::to_string(facts.n_matrices) +
         " matrices, " + options::format_bytes(facts.file_bytes) + ", scale " +
         scale_text(choice.scale) + ") from " + adapter.file().label();
}

}  // namespace quern::cli
