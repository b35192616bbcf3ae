#include "server/cli/bench_runner.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>

#include "models/graph/weights.h"

namespace quern::cli {

using graph::kPageTokens;

Result<std::unique_ptr<BenchRunner>> BenchRunner::create(
    backend::Backend& backend, std::shared_ptr<const graph::DecoderWeights> weights,
    const BenchSize& size, std::span<const BenchCase> cases) {
  int64_t positions = 1;
  int32_t batch = 1;
  for (const BenchCase& bench : cases) {
    positions = std::max(positions, int64_t{bench.depth} + bench.tokens);
    batch = std::max(batch, bench.batch);
  }
  const int64_t pages_each = (positions + kPageTokens - 1) / kPageTokens;
  if (pages_each * batch > INT32_MAX) {
    return Error(ErrorKind::kInvalidInput, std::to_string(batch) + " sequences of " +
                                               std::to_string(positions) +
                                               " tokens are more than can be benchmarked");
  }
  std::unique_ptr<BenchRunner> runner(new BenchRunner());
  runner->max_step_tokens_ = std::max(size.max_step_tokens, 1);
  runner->pages_each_ = static_cast<int32_t>(pages_each);
  const auto n_pages = static_cast<int32_t>(pages_each * batch);
  QUERN_ASSIGN_OR_RETURN(runner->storage_,
                         graph::KvStorage::create(backend, *weights, size.kv_format, n_pages));
  QUERN_ASSIGN_OR_RETURN(runner->forward_,
                         graph::ForwardPass::create(
                             backend, weights, std::max(runner->max_step_tokens_, batch), batch));
  const uint64_t bytes_per_page = graph::KvStorage::bytes_per_page(*weights, size.kv_format);
  runner->kv_bytes_ = bytes_per_page * static_cast<uint64_t>(n_pages);
  runner->bytes_per_half_page_ =
      bytes_per_page / (2 * static_cast<uint64_t>(weights->hyper.n_layers));
  for (int32_t s = 0; s < batch; ++s) {
    std::vector<int32_t> pages(static_cast<size_t>(pages_each));
    for (int32_t p = 0; p < runner->pages_each_; ++p) {
      pages[static_cast<size_t>(p)] = s * runner->pages_each_ + p;
    }
    runner->pages_.push_back(std::move(pages));
  }
  runner->logits_.resize(static_cast<size_t>(batch) * static_cast<size_t>(weights->hyper.n_vocab));
  runner->weights_ = std::move(weights);
  return runner;
}

int32_t BenchRunner::next_token() {
  // A linear congruential step (Knuth's MMIX constants): any spread of tokens will do.
  draws_ = draws_ * 6364136223846793005U + 1442695040888963407U;
  return static_cast<int32_t>((draws_ >> 33) % static_cast<uint64_t>(weights_->hyper.n_vocab));
}

Status BenchRunner::prefill(int32_t first, int32_t n_tokens, bool want_logits) {
  const auto n_vocab = static_cast<size_t>(weights_->hyper.n_vocab);
  for (int32_t done = 0; done < n_tokens;) {
    const int32_t chunk = std::min(max_step_tokens_, n_tokens - done);
    tokens_.resize(static_cast<size_t>(chunk));
    std::generate(tokens_.begin(), tokens_.end(), [this] { return next_token(); });
    outputs_.clear();
    if (want_logits && done + chunk == n_tokens) outputs_.push_back(chunk - 1);
    slices_ = {{.first_token = 0,
                .n_tokens = chunk,
                .first_position = first + done,
                .pages = pages_.front()}};
    QUERN_RETURN_IF_ERROR(
        forward_->run({.tokens = tokens_, .sequences = slices_, .outputs = outputs_}, *storage_,
                      std::span(logits_).first(outputs_.size() * n_vocab)));
    done += chunk;
  }
  return ok_status();
}

Status BenchRunner::decode_step(int32_t batch, int32_t position) {
  const auto n_vocab = static_cast<size_t>(weights_->hyper.n_vocab);
  tokens_.resize(static_cast<size_t>(batch));
  outputs_.resize(static_cast<size_t>(batch));
  slices_.clear();
  for (int32_t s = 0; s < batch; ++s) {
    tokens_[static_cast<size_t>(s)] = next_token();
    outputs_[static_cast<size_t>(s)] = s;
    slices_.push_back({.first_token = s,
                       .n_tokens = 1,
                       .first_position = position,
                       .pages = pages_[static_cast<size_t>(s)]});
  }
  return forward_->run({.tokens = tokens_, .sequences = slices_, .outputs = outputs_}, *storage_,
                       std::span(logits_).first(static_cast<size_t>(batch) * n_vocab));
}

void BenchRunner::copy_first_sequence(int32_t depth, int32_t batch) {
  const int32_t n_pages = (depth + kPageTokens - 1) / kPageTokens;
  const size_t bytes = static_cast<size_t>(n_pages) * bytes_per_half_page_;
  for (int64_t layer = 0; layer < weights_->hyper.n_layers; ++layer) {
    const ops::KvLayerView view = storage_->layer(static_cast<int>(layer));
    for (int32_t s = 1; s < batch; ++s) {
      const size_t offset =
          static_cast<size_t>(s) * static_cast<size_t>(pages_each_) * bytes_per_half_page_;
      std::memcpy(view.keys + offset, view.keys, bytes);
      std::memcpy(view.values + offset, view.values, bytes);
    }
  }
}

Status BenchRunner::prepare(const BenchCase& bench) {
  if (bench.depth > filled_) {
    QUERN_RETURN_IF_ERROR(prefill(filled_, bench.depth - filled_, false));
    filled_ = bench.depth;
  }
  if (bench.depth > copied_depth_ || bench.batch > copied_batch_) {
    copied_depth_ = std::max(copied_depth_, bench.depth);
    copied_batch_ = std::max(copied_batch_, bench.batch);
    copy_first_sequence(copied_depth_, copied_batch_);
  }
  return ok_status();
}

Result<double> BenchRunner::run(const BenchCase& bench) {
  const auto start = std::chrono::steady_clock::now();
  if (bench.kind == BenchCase::Kind::kPrefill) {
    QUERN_RETURN_IF_ERROR(prefill(bench.depth, bench.tokens, true));
  } else {
    for (int32_t i = 0; i < bench.tokens; ++i) {
      QUERN_RETURN_IF_ERROR(decode_step(bench.batch, bench.depth + i));
    }
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace quern::cli
