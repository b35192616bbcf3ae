#include "models/evaluate/window_scorer.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

namespace quern::evaluate {

Result<std::unique_ptr<WindowScorer>> WindowScorer::create(
    backend::Backend& backend, std::shared_ptr<const loader::Model> model, const Options& options) {
  std::unique_ptr<WindowScorer> out(new WindowScorer());
  const int32_t n_pages = (options.context + graph::kPageTokens - 1) / graph::kPageTokens;
  out->max_step_tokens_ = std::clamp(options.max_step_tokens, 1, options.context);
  QUERN_ASSIGN_OR_RETURN(out->storage_, graph::KvStorage::create(backend, *model->weights(),
                                                                 options.kv_format, n_pages));
  std::vector<std::shared_ptr<const graph::AdapterWeights>> deltas;
  for (const ScoredAdapter& one : options.adapters) {
    out->adapters_.push_back({static_cast<int32_t>(deltas.size()), one.scale});
    deltas.push_back(one.adapter->weights());
  }
  QUERN_ASSIGN_OR_RETURN(
      out->forward_, graph::ForwardPass::create(backend, model->weights(), out->max_step_tokens_,
                                                out->max_step_tokens_, std::move(deltas)));
  out->pages_.resize(static_cast<size_t>(n_pages));
  std::iota(out->pages_.begin(), out->pages_.end(), 0);
  out->model_ = std::move(model);
  return out;
}

Status WindowScorer::run(std::span<const TokenId> window, int32_t first_scored,
                         const std::function<void(const ScoredRows&)>& take) {
  // The last token is only a target.
  const auto end = static_cast<int32_t>(window.size()) - 1;
  for (int32_t position = 0; position < end;) {
    // A step begins where scoring begins, so that its outputs are all of its tokens or none.
    const int32_t border = position < first_scored ? first_scored : end;
    const int32_t n = std::min(max_step_tokens_, border - position);
    QUERN_RETURN_IF_ERROR(step(window, position, n, first_scored, take));
    position += n;
  }
  return ok_status();
}

Status WindowScorer::step(std::span<const TokenId> window, int32_t position, int32_t n,
                          int32_t first_scored,
                          const std::function<void(const ScoredRows&)>& take) {
  const auto first = static_cast<size_t>(position);
  const auto count = static_cast<size_t>(n);
  outputs_.resize(position >= first_scored ? count : 0);
  std::iota(outputs_.begin(), outputs_.end(), 0);
  logits_.resize(outputs_.size() * static_cast<size_t>(n_vocab()));
  const std::array<ops::SequenceSlice, 1> sequences = {{{.first_token = 0,
                                                         .n_tokens = n,
                                                         .first_position = position,
                                                         .pages = pages_,
                                                         .adapters = adapters_}}};
  QUERN_RETURN_IF_ERROR(forward_->run(
      {.tokens = window.subspan(first, count), .sequences = sequences, .outputs = outputs_},
      *storage_, logits_));
  if (model_->file().poisoned()) {
    return Error(ErrorKind::kIo, model_->file().label() +
                                     ": reading the file failed while it was evaluated; get it "
                                     "again");
  }
  if (!outputs_.empty()) take({.targets = window.subspan(first + 1, count), .logits = logits_});
  return ok_status();
}

}  // namespace quern::evaluate
