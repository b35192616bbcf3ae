#include "server/cli/draft_options.h"

#include <utility>

#include "models/gguf/reader.h"

namespace quern::cli {

Result<engine::SpeculationOptions> open_speculation(const options::Options& options,
                                                    backend::Backend& backend) {
  const bool named = !options.draft_model.empty();
  const bool uses_model = options.speculative == "draft" || options.speculative == "auto";
  if (options.speculative == "draft" && !named) {
    return Error(ErrorKind::kInvalidInput,
                 "--speculative draft needs a model to guess with; name one with --draft-model, or "
                 "use --speculative ngram");
  }
  if (named && !uses_model) {
    return Error(ErrorKind::kInvalidInput, "--draft-model is of no use with --speculative " +
                                               options.speculative + "; leave one of them out");
  }
  engine::SpeculationOptions speculation;
  speculation.lookup = options.speculative == "ngram" || options.speculative == "auto";
  speculation.max_tokens = static_cast<int32_t>(options.draft_max);
  if (!named) return speculation;
  QUERN_ASSIGN_OR_RETURN(auto file, gguf::GgufFile::open(options.draft_model));
  // Drafts end where its own trained context does.
  QUERN_ASSIGN_OR_RETURN(speculation.draft_model, loader::Model::load(std::move(file), backend));
  return speculation;
}

std::string describe_speculation(const engine::SpeculationOptions& speculation,
                                 uint64_t draft_kv_bytes) {
  if (!speculation.on()) return "off";
  std::string text = "up to " + std::to_string(speculation.max_tokens) + " tokens ahead, ";
  if (speculation.lookup) text += "from the text so far";
  if (speculation.draft_model == nullptr) return text;
  const loader::ModelFacts& facts = speculation.draft_model->facts();
  return text + (speculation.lookup ? " or " : "") + "with " + facts.name + " (" + facts.recipe +
         ", " + options::format_bytes(facts.file_bytes) + ", and " +
         options::format_bytes(draft_kv_bytes) + " of keys and values) from " +
         speculation.draft_model->file().label();
}

}  // namespace quern::cli
