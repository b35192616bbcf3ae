// The adapters that --lora names: [NAME=]FILE[:SCALE].
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/loader/adapter.h"
#include "server/api/served_model.h"

namespace quern::cli {

struct AdapterChoice {
  std::string name;  // what clients call it; made from the file's name when none is given
  std::string path;
  float scale = 1;
};

// Errors: no file, a scale that is no number from -1000 to 1000, a name with other characters than
// letters, digits, ".", "_" and "-", two adapters of one name.
Result<std::vector<AdapterChoice>> parse_adapters(const std::vector<std::string>& values);

// What their headers say. Errors: as read_adapter_facts().
Result<std::vector<loader::AdapterFacts>> read_adapters(const std::vector<AdapterChoice>& choices);

// As listings show them.
std::vector<api::ListedAdapter> list_adapters(const std::vector<AdapterChoice>& choices,
                                              const std::vector<loader::AdapterFacts>& facts);

// Loaded for a model, in the order of `choices`.
Result<std::vector<std::shared_ptr<const loader::Adapter>>> load_adapters(
    const std::vector<AdapterChoice>& choices, const loader::Model& model,
    backend::Backend& backend);

// One line for the start-up summary.
std::string describe_adapter(const AdapterChoice& choice, const loader::Adapter& adapter);

}  // namespace quern::cli
