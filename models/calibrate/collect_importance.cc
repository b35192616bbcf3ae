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
      : observed_(backend, [this](const ops::MatmulArgs& args) { observe(args); }),
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
                       "' are of another width; they were made with another model: name another "
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
    const auto n_columns = static_cast<size_t>(args.outputs.front().weight->view.n_cols);
    add_squares(args, n_columns);
    for (const ops::MatmulOutput& output : args.outputs) {
      if (is_collected(output.weight->name)) add_to(output.weight->name, args.n_rows);
    }
  }

  void add_squares(const ops::MatmulArgs& args, size_t n_columns) {
    squares_.assign(n_columns, 0.0);
    for (int64_t row = 0; row < args.n_rows; ++row) {
      const float* x = args.x + row * args.x_stride;
      for (size_t i = 0; i < n_columns; ++i) {
        squares_[i] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      }
    }
  }

  void add_to(const std::string& name, int64_t n_rows) {
    convert::ImportanceSums::Entry& entry = sums_.entries[name];
    if (entry.squares.empty()) entry.squares.resize(squares_.size());
    if (entry.squares.size() != squares_.size()) {
      mismatch_ = name;
      return;
    }
    // Kept as f32, as the file has them, so that it does not matter whether they have been there.
    for (size_t i = 0; i < squares_.size(); ++i) {
      entry.squares[i] = static_cast<float>(static_cast<double>(entry.squares[i]) + squares_[i]);
    }
    entry.n_rows += static_cast<float>(n_rows);
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
  std::vector<double> squares_;  // of one product's input, per column
  std::string mismatch_;         // a tensor whose sums do not fit
};

}  // namespace

uint32_t chunks_of(size_t n_tokens, const CollectOptions& options) {
  const auto all = static_cast<uint32_t>(n_tokens / static_cast<size_t>(options.chunk_tokens));
  return options.max_chunks > 0 ? std::min(all, options.max_chunks) : all;
}

Status collect_importance(backend::Backend& backend, const loader::Model& model,
                          std::span<const int32_t> tokens, const CollectOptions& options,
                          convert::ImportanceSums& sums) {
  if (model.weights()->hyper.n_experts > 0) {
    return Error(ErrorKind::kUnsupported,
                 model.file().label() +
                     " is a mixture of experts, whose importance is not collected yet; quantize it "
                     "without --imatrix");
  }
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
