// Facts of a model in the form that listings show.
#include "server/api/app/describe_model.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <type_traits>

#include "models/gguf/metadata.h"

namespace quern::api {
namespace {

// Longer arrays (vocabularies) are left out of /api/show altogether.
constexpr size_t kMaxArray = 4096;

template <typename T>
Json array_json(const std::vector<T>& values) {
  Json out = Json::array();
  if (values.size() > kMaxArray) return out;
  for (const T& value : values) out.push_back(value);
  return out;
}

Json value_json(const gguf::Value& value) {
  return std::visit(
      [](const auto& held) -> Json {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, gguf::BoolArray>) {
          return array_json(held.values);
        } else if constexpr (std::is_arithmetic_v<Held> || std::is_same_v<Held, std::string>) {
          return Json(held);
        } else {
          return array_json(held);
        }
      },
      value);
}

// 64 hexadecimal digits that differ between models (FNV-1a of the facts, four lanes); clients use a
// digest as a name only.
std::string identity_digest(const ListedModel& model) {
  const std::string text = model.id + "|" + std::to_string(model.facts.file_bytes) + "|" +
                           std::to_string(model.facts.n_parameters) + "|" + model.facts.recipe;
  std::string out;
  for (uint64_t lane = 0; lane < 4; ++lane) {
    uint64_t hash = 0xcbf29ce484222325ULL + lane * 0x9e3779b97f4a7c15ULL;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    for (int shift = 60; shift >= 0; shift -= 4) {
      out.push_back("0123456789abcdef"[(hash >> shift) & 0xF]);
    }
  }
  return out;
}

}  // namespace

int64_t modified_unix_s(const std::string& path) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  if (path.empty() || error) {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  const auto system = std::chrono::file_clock::to_sys(time);
  return std::chrono::duration_cast<std::chrono::seconds>(system.time_since_epoch()).count();
}

std::string model_stem(const std::string& path) {
  std::string stem = std::filesystem::path(path).stem().string();
  // "-00001-of-00003" at the end.
  constexpr std::string_view kForm = "-00000-of-00000";
  if (stem.size() <= kForm.size()) return stem;
  const std::string_view tail = std::string_view(stem).substr(stem.size() - kForm.size());
  const bool part = std::equal(tail.begin(), tail.end(), kForm.begin(), [](char c, char form) {
    return form == '0' ? c >= '0' && c <= '9' : c == form;
  });
  if (part) stem.resize(stem.size() - kForm.size());
  return stem;
}

ListedModel list_model(const gguf::GgufFile& file, loader::ModelFacts facts, std::string id,
                       const std::string& path) {
  ListedModel out;
  out.facts = std::move(facts);
  out.id = id.empty() ? model_id_from(out.facts.name) : std::move(id);
  const std::string stem = model_stem(path);
  if (!stem.empty()) {
    out.aliases.push_back(stem);
    out.aliases.push_back(model_id_from(stem));
  }
  out.aliases.push_back(model_id_from(out.facts.name));
  for (const auto& [key, value] : file.metadata().entries()) {
    out.model_info[key] = value_json(value);
  }
  const auto source = file.metadata().find_string("tokenizer.chat_template");
  if (source.ok() && source->has_value()) out.template_source = std::string(**source);
  out.modified_unix_s = modified_unix_s(path);
  out.digest = identity_digest(out);
  return out;
}

ServedModel serve_model(engine::Engine& engine, const ListedModel& listed) {
  const loader::Model& loaded = engine.model();
  ServedModel out;
  static_cast<ListedModel&>(out) = listed;
  out.engine = &engine;
  out.tokenizer = &loaded.tokenizer();
  out.chat_template = &loaded.chat_template();
  out.has_own_template = loaded.has_own_template();
  out.grammars = std::make_shared<grammar::GrammarStore>(loaded.tokenizer());
  return out;
}

ServedModel describe_model(engine::Engine& engine, std::string id, const std::string& path) {
  const loader::Model& loaded = engine.model();
  return serve_model(engine, list_model(loaded.file(), loaded.facts(), std::move(id), path));
}

}  // namespace quern::api
