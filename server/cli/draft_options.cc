#include "server/cli/draft_options.h"

#include <algorithm>
#include <utility>

#include "engine/run/draft_model.h"
#include "engine/run/speculation_setup.h"
#include "models/gguf/reader.h"
#include "models/loader/memory_estimate.h"

namespace quern::cli {
namespace {

Status check_options(const options::Options& options) {
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
  return ok_status();
}

}  // namespace

Result<Speculation> open_speculation(const options::Options& options,
                                     const tokenizer::Tokenizer& target, backend::Backend& backend,
                                     bool for_all) {
  QUERN_RETURN_IF_ERROR(check_options(options));
  Speculation out;
  out.options.lookup = options.speculative == "ngram" || options.speculative == "auto";
  out.options.max_tokens = static_cast<int32_t>(options.draft_max);
  if (options.draft_model.empty()) return out;
  QUERN_ASSIGN_OR_RETURN(auto file, gguf::GgufFile::open(options.draft_model));
  // Drafts end where its own trained context does.
  QUERN_ASSIGN_OR_RETURN(auto draft, loader::Model::load(std::move(file), backend));
  const Status fits = engine::check_draft_vocabulary(target, draft->tokenizer());
  if (fits.ok()) {
    out.options.draft_model = std::move(draft);
  } else if (for_all || options.speculative == "draft") {
    return fits.error();
  } else {
    out.left_out = fits.error().message();
  }
  return out;
}

std::string describe_speculation(const Speculation& speculation, uint64_t draft_kv_bytes) {
  const engine::SpeculationOptions& options = speculation.options;
  if (!options.on()) return "off";
  std::string text = "up to " + std::to_string(options.max_tokens) + " tokens ahead, ";
  if (options.lookup) text += "from the text so far";
  if (!speculation.left_out.empty()) return text + " only: " + speculation.left_out;
  if (options.draft_model == nullptr) return text;
  const loader::ModelFacts& facts = options.draft_model->facts();
  return text + (options.lookup ? " or " : "") + "with " + facts.name + " (" + facts.recipe + ", " +
         options::format_bytes(facts.file_bytes) + ", and " +
         options::format_bytes(draft_kv_bytes) + " of keys and values) from " +
         options.draft_model->file().label();
}

Result<DraftMemory> draft_memory(const options::Options& options, int64_t context_tokens,
                                 int32_t sequences) {
  QUERN_RETURN_IF_ERROR(check_options(options));
  DraftMemory out;
  if (options.draft_model.empty()) return out;
  QUERN_ASSIGN_OR_RETURN(const auto file, gguf::GgufFile::open(options.draft_model));
  const auto size = loader::model_size(*file, engine::kDraftKvFormat);
  if (!size.ok()) return size.error().with_context(file->label());
  const int32_t step_tokens = std::max(engine::DraftShape().max_step_tokens, sequences);
  QUERN_ASSIGN_OR_RETURN(const loader::MemoryEstimate memory,
                         loader::estimate_memory(*size, {context_tokens, sequences, step_tokens,
                                                         engine::kDraftKvFormat}));
  out.fixed = file->file_bytes() + memory.scratch;
  out.kv = memory.kv;
  return out;
}

}  // namespace quern::cli
