// A model as the front doors see it: names, engine, tokenizer, template, facts for listings.
//
// Refers to an engine that outlives it. Names follow Ollama's rules: "name[:tag]", tag "latest" by
// default, compared without regard to case.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
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

struct ServedModel {
  std::string id;  // letters, digits, ".", "_", "-", ":", "/"
  std::vector<std::string> aliases;
  engine::Engine* engine = nullptr;
  const tokenizer::Tokenizer* tokenizer = nullptr;
  const chat::ChatTemplate* chat_template = nullptr;
  bool has_own_template = false;
  std::shared_ptr<grammar::GrammarStore> grammars;  // for `tokenizer`; null: answers are free text
  loader::ModelFacts facts;
  Json model_info = Json::object();  // metadata of the file, for /api/show
  std::string digest;                // 64 hex digits naming this model; not a hash of the file
  int64_t modified_unix_s = 0;
};

// What all handlers share. Immutable while the server runs.
struct Catalogue {
  std::vector<ServedModel> models;  // at least one; the first is the default
  std::string version;              // of the program, "0.1.0"
  std::string fingerprint;          // version and reproducibility contract
  // Name of each API key's share of the engine, in the order of the keys; empty with one key.
  std::vector<std::string> shares;
  std::chrono::seconds request_timeout{0};  // 0: none
  OverflowPolicy overflow;                  // where a request does not say

  // The model of this name, or null.
  const ServedModel* find(std::string_view name) const;
};

// "Tiny Model v1" to "tiny-model-v1"; never empty.
std::string model_id_from(std::string_view name);

}  // namespace quern::api
