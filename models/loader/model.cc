// Orchestrates loading: architecture, hyper-parameters, tensors, vocabulary, template, weights.
#include "models/loader/model.h"

#include <new>
#include <string>
#include <utility>
#include <vector>

#include "models/arch/arch_spec.h"
#include "models/chat/chat_format.h"
#include "models/graph/weights.h"
#include "models/loader/load_weights.h"
#include "models/loader/tensor_check.h"

namespace quern::loader {
namespace {

Result<const arch::ArchSpec*> find_spec(const gguf::Metadata& metadata) {
  QUERN_ASSIGN_OR_RETURN(const std::string_view name, metadata.get_string("general.architecture"));
  const arch::ArchSpec* spec = arch::find_arch(name);
  if (spec == nullptr) {
    return Error(ErrorKind::kUnsupported, "general.architecture is \"" + std::string(name) +
                                              "\"; expected one of " + arch::arch_names() +
                                              ", so choose a model of one of these");
  }
  return spec;
}

Result<int64_t> vocabulary_length(const gguf::Metadata& metadata) {
  constexpr std::string_view kKey = "tokenizer.ggml.tokens";
  QUERN_ASSIGN_OR_RETURN(const auto* tokens, metadata.find_array<std::string>(kKey));
  if (tokens == nullptr) {
    return Error(ErrorKind::kInvalidInput,
                 std::string(kKey) +
                     " is missing; expected the vocabulary as an array of strings, convert the "
                     "model anew");
  }
  return static_cast<int64_t>(tokens->size());
}

// For models without a template: plain text in, plain text out.
Result<std::shared_ptr<const chat::ChatTemplate>> plain_template() {
  const auto source = chat::builtin_template("plain");
  CHECK(source.has_value());
  return chat::ChatTemplate::parse(std::string(*source));
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::load(std::shared_ptr<const gguf::GgufFile> file,
                                                 backend::Backend& backend,
                                                 const LoadOptions& options) {
  const std::string label = file->label();
  try {
    auto loaded = load_checked(std::move(file), backend, options);
    if (!loaded.ok()) return loaded.error().with_context(label);
    return loaded;
  } catch (const std::bad_alloc&) {
    return Error(ErrorKind::kOutOfMemory,
                 label +
                     ": not enough memory to load the model; close other programs or choose a "
                     "smaller model");
  }
}

Result<std::shared_ptr<const Model>> Model::load_checked(std::shared_ptr<const gguf::GgufFile> file,
                                                         backend::Backend& backend,
                                                         const LoadOptions& options) {
  const gguf::Metadata& metadata = file->metadata();
  QUERN_ASSIGN_OR_RETURN(const arch::ArchSpec* spec, find_spec(metadata));
  QUERN_ASSIGN_OR_RETURN(const int64_t n_tokens, vocabulary_length(metadata));
  QUERN_ASSIGN_OR_RETURN(const arch::HyperParams hyper,
                         arch::read_hyper_params(*spec, metadata, n_tokens));
  QUERN_ASSIGN_OR_RETURN(TensorTable table, check_tensors(*spec, hyper, *file));

  std::shared_ptr<Model> model(new Model());
  QUERN_ASSIGN_OR_RETURN(model->tokenizer_, tokenizer::Tokenizer::from_metadata(metadata));
  QUERN_ASSIGN_OR_RETURN(const auto template_source,
                         metadata.find_string("tokenizer.chat_template"));
  if (template_source.has_value()) {
    auto parsed = chat::ChatTemplate::parse(std::string(*template_source));
    if (!parsed.ok()) return parsed.error().with_context("tokenizer.chat_template");
    model->chat_template_ = std::move(parsed).value();
    model->has_own_template_ = true;
  } else {
    QUERN_ASSIGN_OR_RETURN(model->chat_template_, plain_template());
  }

  const int64_t context_length =
      options.context_length > 0 ? options.context_length : hyper.context_length;
  QUERN_ASSIGN_OR_RETURN(auto weights, load_weights(*spec, hyper, table, context_length, backend));
  weights->storage = file;
  model->weights_ = std::move(weights);
  model->facts_ = collect_facts(*file, spec->name, hyper, std::move(table.unused));
  if (file->poisoned()) {
    return Error(ErrorKind::kIo,
                 "reading the file failed while loading; it was cut short or its device has a "
                 "fault, so get it again");
  }
  model->file_ = std::move(file);
  return std::shared_ptr<const Model>(std::move(model));
}

}  // namespace quern::loader
