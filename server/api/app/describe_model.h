// A model file as the front doors see it: what listings say, from its header alone, and what is
// served once it is loaded.
#pragma once

#include <string>

#include "engine/run/engine.h"
#include "models/gguf/reader.h"
#include "models/loader/model_facts.h"
#include "server/api/served_model.h"

namespace quern::api {

// `id` empty: made from the model's name. `path`: the file, whose stem becomes an alias and whose
// time is shown in listings; may be empty.
ListedModel list_model(const gguf::GgufFile& file, loader::ModelFacts facts, std::string id,
                       const std::string& path);

// The model behind an engine, listed as `listed`.
ServedModel serve_model(engine::Engine& engine, const ListedModel& listed);

// Both at once.
ServedModel describe_model(engine::Engine& engine, std::string id, const std::string& path);

// When the file was written, for listings; now when that cannot be told.
int64_t modified_unix_s(const std::string& path);

// The stem of a model file's name; of a split model's without the part's number.
std::string model_stem(const std::string& path);

}  // namespace quern::api
