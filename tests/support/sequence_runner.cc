#include "tests/support/sequence_runner.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace quern::tests_support {

Result<std::unique_ptr<SequenceRunner>> SequenceRunner::create(
    backend::Backend& backend, std::shared_ptr<const graph::DecoderWeights> weights,
    const RunnerOptions& options) {
  std::unique_ptr<SequenceRunner> runner(new SequenceRunner());
  const int32_t n_pages = (options.max_positions + graph::kPageTokens - 1) / graph::kPageTokens;
  QUERN_ASSIGN_OR_RETURN(runner->storage_,
                         graph::KvStorage::create(backend, *weights, options.kv_format, n_pages));
  QUERN_ASSIGN_OR_RETURN(runner->forward_,
                         graph::ForwardPass::create(backend, weights, options.max_tokens,
                                                    options.max_tokens, options.adapters));
  runner->weights_ = std::move(weights);
  runner->uses_ = options.uses;
  runner->pages_.resize(static_cast<size_t>(n_pages));
  std::iota(runner->pages_.rbegin(), runner->pages_.rend(), 0);
  return runner;
}

Status SequenceRunner::step(std::span<const int32_t> tokens, std::span<const int32_t> outputs,
                            std::span<float> logits) {
  const std::array<ops::SequenceSlice, 1> sequences = {
      ops::SequenceSlice{.first_token = 0,
                         .n_tokens = static_cast<int32_t>(tokens.size()),
                         .first_position = position_,
                         .pages = pages_,
                         .adapters = uses_}};
  QUERN_RETURN_IF_ERROR(forward_->run(
      {.tokens = tokens, .sequences = sequences, .outputs = outputs}, *storage_, logits));
  position_ += static_cast<int32_t>(tokens.size());
  return ok_status();
}

Status SequenceRunner::feed(std::span<const int32_t> tokens, int32_t chunk,
                            std::vector<float>& logits) {
  const auto n_vocab = static_cast<size_t>(weights_->hyper.n_vocab);
  for (size_t at = 0; at < tokens.size();) {
    const size_t n = std::min(static_cast<size_t>(chunk), tokens.size() - at);
    std::vector<int32_t> outputs(n);
    std::iota(outputs.begin(), outputs.end(), 0);
    const size_t before = logits.size();
    logits.resize(before + n * n_vocab);
    QUERN_RETURN_IF_ERROR(step(tokens.subspan(at, n), outputs, std::span(logits).subspan(before)));
    at += n;
  }
  return ok_status();
}

Status SequenceRunner::feed_silently(std::span<const int32_t> tokens) {
  return step(tokens, {}, {});
}

Result<std::vector<float>> SequenceRunner::feed_for_last(std::span<const int32_t> tokens) {
  std::vector<float> logits(static_cast<size_t>(weights_->hyper.n_vocab));
  const std::array<int32_t, 1> outputs = {static_cast<int32_t>(tokens.size()) - 1};
  QUERN_RETURN_IF_ERROR(step(tokens, outputs, logits));
  return logits;
}

}  // namespace quern::tests_support
