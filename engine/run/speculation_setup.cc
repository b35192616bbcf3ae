// See speculation_setup.h.
#include "engine/run/speculation_setup.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/run/draft_model.h"
#include "engine/run/model_runner.h"

namespace quern::engine {
namespace {

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

Status check_draft_vocabulary(const tokenizer::Tokenizer& target,
                              const tokenizer::Tokenizer& draft) {
  const int64_t n_shared = std::min(target.vocab_size(), draft.vocab_size());
  for (int64_t i = 0; i < n_shared; ++i) {
    const auto id = static_cast<tokenizer::TokenId>(i);
    if (target.text(id) == draft.text(id) && target.kind(id) == draft.kind(id)) continue;
    const bool same_text = target.text(id) == draft.text(id);
    return Error(ErrorKind::kInvalidInput,
                 "the draft model has another vocabulary: token " + std::to_string(i) + " is " +
                     quoted(draft.text(id)) + " there and " + quoted(target.text(id)) +
                     " in the model" + (same_text ? ", but for another use" : "") +
                     "; choose a smaller model of the same family");
  }
  if (std::max(target.vocab_size(), draft.vocab_size()) - n_shared <= kMaxPadding) {
    return ok_status();
  }
  return Error(ErrorKind::kInvalidInput,
               "the draft model has another vocabulary: it has " +
                   std::to_string(draft.vocab_size()) + " tokens and the model " +
                   std::to_string(target.vocab_size()) + ", the first that only one has is token " +
                   std::to_string(n_shared) + "; choose a smaller model of the same family");
}

uint64_t draft_bytes_per_page(const SpeculationOptions& options) {
  if (options.draft_model == nullptr) return 0;
  return graph::KvStorage::bytes_per_page(*options.draft_model->weights(), kDraftKvFormat);
}

Result<std::unique_ptr<Speculator>> create_speculator(const SpeculationOptions& options,
                                                      const tokenizer::Tokenizer& target,
                                                      backend::Backend& backend,
                                                      const SpeculatorDemand& demand) {
  if (!options.on()) return std::unique_ptr<Speculator>();
  std::unique_ptr<Drafter> drafter;
  if (options.draft_model != nullptr) {
    QUERN_RETURN_IF_ERROR(check_draft_vocabulary(target, options.draft_model->tokenizer()));
    DraftShape shape;
    shape.n_vocab = options.draft_model->facts().n_vocab;
    shape.n_vocab_target = demand.n_vocab;
    shape.context_tokens = std::max<int64_t>(1, options.draft_model->facts().context_length);
    shape.n_pages = demand.n_pages;
    shape.page_tokens = graph::kPageTokens;
    shape.max_running = demand.max_running;
    const RunnerShape runner_shape{kDraftKvFormat, shape.n_pages,
                                   std::max(shape.max_step_tokens, shape.max_running),
                                   shape.max_running};
    QUERN_ASSIGN_OR_RETURN(auto runner,
                           ModelRunner::create(options.draft_model, backend, runner_shape));
    drafter = std::make_unique<DraftModel>(std::move(runner), shape, demand.log);
  }
  return std::make_unique<Speculator>(
      SpeculatorOptions{options.lookup, options.max_tokens, options.adaptive}, std::move(drafter));
}

}  // namespace quern::engine
