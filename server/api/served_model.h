// A model as the front doors see it: what listings say of it, and, while it is loaded, engine,
// tokenizer and template.
//
// Refers to an engine that outlives it. Names follow Ollama's rules: "name[:tag]", tag "latest" by
// default, compared without regard to case.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/json.h"
#include "engine/grammar/grammar_store.h"
#include "engine/run/engine.h"
#include "models/chat/chat_template.h"
#include "models/loader/model.h"
#include "models/tokenizer/tokenizer.h"
#include "server/api/api_error.h"
#include "server/api/overflow_policy.h"

namespace quern::api {

// A low-rank adapter that a model can be asked for with, as MODEL:NAME.
struct ListedAdapter {
  std::string name;
  std::string path;
  float scale = 1;
  uint64_t file_bytes = 0;
  int64_t modified_unix_s = 0;
};

// What is known from the file's header, loaded or not.
struct ListedModel {
  std::string id;  // letters, digits, ".", "_", "-", ":", "/"
  std::vector<std::string> aliases;
  loader::ModelFacts facts;
  Json model_info = Json::object();  // metadata of the file, for /api/show
  std::string template_source;       // of the file's own chat template, or empty
  std::string digest;                // 64 hex digits naming this model; not a hash of the file
  int64_t modified_unix_s = 0;
  std::vector<ListedAdapter> adapters;  // in the order of engine::AdapterUse

  // Whether a client may call it so.
  bool is_called(std::string_view name) const;
  // Which adapter a client asks for by this name, "MODEL:NAME"; nothing when it is none.
  std::optional<size_t> adapter_called(std::string_view name) const;
  // The name under which listings show it.
  std::string adapter_id(const ListedAdapter& adapter) const { return id + ":" + adapter.name; }
};

struct ServedModel : ListedModel {
  engine::Engine* engine = nullptr;
  const tokenizer::Tokenizer* tokenizer = nullptr;
  const chat::ChatTemplate* chat_template = nullptr;
  bool has_own_template = false;
  std::shared_ptr<grammar::GrammarStore> grammars;  // for `tokenizer`; null: answers are free text
};

// "Tiny Model v1" to "tiny-model-v1"; never empty.
std::string model_id_from(std::string_view name);

}  // namespace quern::api
