#include "models/calibrate/collect_importance.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/backend/observed_backend.h"
#include "models/graph/forward.h"
#include "models/graph/weights.h"

namespace quern::calibrate {
namespace {

// The embedding and the output matrix are left out, as in the field's files.
bool is_collected(std::string_view name) { return name.starts_with("blk."); }

class Collector {
 public:
  Collector(backend::Backend& backend, const loader::Model& model, const CollectOptions& options,
            convert::ImportanceSums& sums)
      : observed_(backend,
                  {.matmul = [this](const ops::MatmulArgs& args) { observe(args); },
                   .expert_matmul =
                       [this](const ops::ExpertMatmulArgs& args) { observe_experts(args); }}),
        model_(model),
        options_(options),
        sums_(sums) {}

  Status prepare() {
    const int32_t n = options_.chunk_tokens;
    const int32_t n_pages = (n + graph::kPageTokens - 1) / graph::kPageTokens;
    const auto weights = model_.weights();
    QUERN_ASSIGN_OR_RETURN(
        cache_, graph::KvStorage::create(observed_, *weights, ops::KvFormat::kF16, n_pages));
    QUERN_ASSIGN_OR_RETURN(forward_, graph::ForwardPass::create(observed_, weights, n, n));
    pages_.resize(static_cast<size_t>(n_pages));
    std::iota(pages_.begin(), pages_.end(), 0);
    outputs_.resize(static_cast<size_t>(n));
    std::iota(outputs_.begin(), outputs_.end(), 0);
    logits_.resize(static_cast<size_t>(n) * static_cast<size_t>(weights->hyper.n_vocab));
    return ok_status();
  }

  // All tokens are outputs: the last layer computes no others.
  Status read_chunk(std::span<const int32_t> text) {
    std::vector<int32_t> tokens(text.begin(), text.end());
    const tokenizer::SpecialTokens& special = model_.tokenizer().special();
    if (special.add_bos && special.bos) tokens.front() = *special.bos;
    const std::array<ops::SequenceSlice, 1> sequences = {ops::SequenceSlice{
        .first_token = 0, .n_tokens = options_.chunk_tokens, .first_position = 0, .pages = pages_}};
    mismatch_.clear();
    QUERN_RETURN_IF_ERROR(forward_->run(
        {.tokens = tokens, .sequences = sequences, .outputs = outputs_}, *cache_, logits_));
    if (!mismatch_.empty()) {
      return Error(ErrorKind::kInvalidInput,
                   "the sums so far of '" + mismatch_ +
                       "' are of another shape; they were made with another model: name another "
                       "output");
    }
    if (model_.file().poisoned()) {
      return Error(ErrorKind::kIo,
                   "the model file became shorter or unreadable while it was in "
                   "use: check the disk and try again");
    }
    ++sums_.n_chunks;
    return ok_status();
  }

 private:
  void observe(const ops::MatmulArgs& args) {
    const bool wanted = std::any_of(
        args.outputs.begin(), args.outputs.end(),
        [](const ops::MatmulOutput& output) { return is_collected(output.weight->name); });
    if (!wanted) return;
    squares_.assign(static_cast<size_t>(args.outputs.front().weight->view.n_cols), 0.0);
    for (int64_t row = 0; row < args.n_rows; ++row) add_squares(args.x + row * args.x_stride);
    for (const ops::MatmulOutput& output : args.outputs) {
      if (!is_collected(output.weight->name)) continue;
      add_to(output.weight->name, {.matrix = 0, .n_matrices = 1, .n_rows = args.n_rows});
    }
  }

  // Of a stack the sums of each expert are kept apart; files with a tensor for each expert have
  // them apart anyway.
  void observe_experts(const ops::ExpertMatmulArgs& args) {
    const auto n_experts = static_cast<size_t>(args.routing.n_experts);
    for (size_t expert = 0; expert < n_experts; ++expert) {
      const int32_t first = args.routing.firsts[expert];
      const int32_t end = args.routing.firsts[expert + 1];
      squares_.assign(static_cast<size_t>(args.outputs.front().weights.front()->view.n_cols), 0.0);
      for (int32_t place = first; place < end; ++place) {
        const int64_t row = args.x_by_place ? place : args.routing.sources[place];
        add_squares(args.x + row * args.x_stride);
      }
      for (const ops::ExpertOutput& output : args.outputs) {
        const bool stacked = output.weights.size() == 1;
        add_to(output.weights[stacked ? 0 : expert]->name, {.matrix = stacked ? expert : 0,
                                                            .n_matrices = stacked ? n_experts : 1,
                                                            .n_rows = end - first});
      }
    }
  }

  // To squares_.
  void add_squares(const float* x) {
    for (size_t i = 0; i < squares_.size(); ++i) {
      squares_[i] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
  }

  // Which matrix of a tensor, and how many rows came into it.
  struct Share {
    size_t matrix;
    size_t n_matrices;
    int64_t n_rows;
  };

  void add_to(const std::string& name, const Share& share) {
    convert::ImportanceSums::Entry& entry = sums_.entries[name];
    if (entry.squares.empty()) {
      entry.squares.resize(share.n_matrices * squares_.size());
      entry.n_rows.resize(share.n_matrices);
    }
    if (entry.n_columns() != squares_.size() || entry.n_matrices() != share.n_matrices) {
      mismatch_ = name;
      return;
    }
    // Kept as f32, as the file has them, so that it does not matter whether they have been there.
    float* sums = entry.squares.data() + share.matrix * squares_.size();
    for (size_t i = 0; i < squares_.size(); ++i) {
      sums[i] = static_cast<float>(static_cast<double>(sums[i]) + squares_[i]);
    }
    entry.n_rows[share.matrix] += static_cast<float>(share.n_rows);
  }

  backend::ObservedBackend observed_;
  const loader::Model& model_;
  const CollectOptions& options_;
  convert::ImportanceSums& sums_;
  std::unique_ptr<graph::KvStorage> cache_;
  std::unique_ptr<graph::ForwardPass> forward_;
  std::vector<int32_t> pages_;
  std::vector<int32_t> outputs_;
  std::vector<float> logits_;
  std::vector<double> squares_;  // of the rows that come into one matrix, per column
  std::string mismatch_;         // a tensor whose sums do not fit
};

}  // namespace

std::vector<std::string> matrices_without_input(const convert::ImportanceSums& sums) {
  std::vector<std::string> names;
  for (const auto& [name, entry] : sums.entries) {
    for (size_t m = 0; m < entry.n_matrices(); ++m) {
      if (entry.n_rows[m] > 0) continue;
      names.push_back(entry.n_matrices() > 1 ? name + "[" + std::to_string(m) + "]" : name);
    }
  }
  return names;
}

Result<std::vector<int32_t>> calibration_tokens(const tokenizer::Tokenizer& tokenizer,
                                                std::string_view text) {
  QUERN_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                         tokenizer.encode(text, tokenizer::SpecialParsing::kText));
  const tokenizer::SpecialTokens& special = tokenizer.special();
  if (special.add_bos && special.bos) tokens.insert(tokens.begin(), *special.bos);
  return tokens;
}

uint32_t chunks_of(size_t n_tokens, const CollectOptions& options) {
  const auto all = static_cast<uint32_t>(n_tokens / static_cast<size_t>(options.chunk_tokens));
  return options.max_chunks > 0 ? std::min(all, options.max_chunks) : all;
}

Status collect_importance(backend::Backend& backend, const loader::Model& model,
                          std::span<const int32_t> tokens, const CollectOptions& options,
                          convert::ImportanceSums& sums) {
  const uint32_t n_chunks = chunks_of(tokens.size(), options);
  Collector collector(backend, model, options, sums);
  QUERN_RETURN_IF_ERROR(collector.prepare());
  const auto n = static_cast<size_t>(options.chunk_tokens);
  uint32_t unsaved = 0;
  while (sums.n_chunks < n_chunks) {
    const bool stopped = options.stop != nullptr && options.stop->load(std::memory_order_relaxed);
    if (stopped || unsaved >= options.save_every) {
      if (options.save) QUERN_RETURN_IF_ERROR(options.save());
      unsaved = 0;
    }
    if (stopped) {
      return Error(ErrorKind::kCancelled, "interrupted after " + std::to_string(sums.n_chunks) +
                                              " of " + std::to_string(n_chunks) +
                                              " chunks; the same command goes on from there");
    }
    QUERN_RETURN_IF_ERROR(collector.read_chunk(tokens.subspan(sums.n_chunks * n, n)));
    ++unsaved;
    if (options.progress) options.progress(sums.n_chunks, n_chunks);
  }
  return options.save ? options.save() : ok_status();
}

}  // namespace quern::calibrate
