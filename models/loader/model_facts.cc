#include "models/loader/model_facts.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <unordered_set>

namespace quern::loader {
namespace {

struct FileRecipe {
  uint64_t number;
  std::string_view name;
};

constexpr FileRecipe kFileRecipes[] = {
#define QUERN_FILE_RECIPE(number, name) {number, name},
#include "models/loader/file_recipe.inc"
#undef QUERN_FILE_RECIPE
};

// These keys are for display only, so a key of another type counts as absent.
std::string text_or_empty(const gguf::Metadata& metadata, std::string_view key) {
  const auto found = metadata.find_string(key);
  return found.ok() && found.value().has_value() ? std::string(*found.value()) : std::string();
}

// The format that holds most values.
std::string commonest_format(const gguf::GgufFile& file) {
  std::array<uint64_t, formats::kFormatCount> values{};
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    values[static_cast<size_t>(tensor.format)] += tensor.n_values();
  }
  const auto most = std::max_element(values.begin(), values.end());
  const auto id = static_cast<formats::FormatId>(most - values.begin());
  return std::string(formats::format_info(id).name);
}

std::string file_recipe(const gguf::GgufFile& file) {
  const auto number = file.metadata().find_uint("general.file_type");
  if (number.ok() && number.value().has_value()) {
    for (const FileRecipe& recipe : kFileRecipes) {
      if (recipe.number == *number.value()) return std::string(recipe.name);
    }
  }
  return commonest_format(file);
}

uint64_t used_parameters(const gguf::GgufFile& file, const std::vector<std::string>& unused) {
  const std::unordered_set<std::string_view> skipped(unused.begin(), unused.end());
  uint64_t sum = 0;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!skipped.contains(tensor.name)) sum += tensor.n_values();
  }
  return sum;
}

}  // namespace

ModelFacts collect_facts(const gguf::GgufFile& file, std::string_view architecture,
                         const arch::HyperParams& hyper, std::vector<std::string> unused_tensors) {
  ModelFacts facts;
  facts.name = text_or_empty(file.metadata(), "general.name");
  if (facts.name.empty()) facts.name = std::filesystem::path(file.label()).stem().string();
  facts.architecture = architecture;
  facts.recipe = file_recipe(file);
  facts.n_parameters = used_parameters(file, unused_tensors);
  facts.file_bytes = file.file_bytes();
  facts.n_layers = hyper.n_layers;
  facts.n_embedding = hyper.n_embedding;
  facts.n_vocab = hyper.n_vocab;
  facts.context_length = hyper.context_length;
  facts.license = text_or_empty(file.metadata(), "general.license");
  facts.unused_tensors = std::move(unused_tensors);
  return facts;
}

}  // namespace quern::loader
