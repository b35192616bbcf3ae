#include "models/evaluate/evaluation.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace quern::evaluate {
namespace {

class ModelReference final : public Reference {
 public:
  explicit ModelReference(WindowScorer& scorer) : scorer_(scorer) {}

  Status start_window(std::span<const TokenId> window, int32_t first_scored) override {
    logits_.clear();
    return scorer_.run(window, first_scored, [this](const ScoredRows& rows) {
      logits_.insert(logits_.end(), rows.logits.begin(), rows.logits.end());
    });
  }

  RowDivergence compare(size_t row, std::span<const float> logits, TokenId target) const override {
    return compare_rows(std::span(logits_).subspan(row * logits.size(), logits.size()), logits,
                        target);
  }

 private:
  WindowScorer& scorer_;
  std::vector<float> logits_;  // of all scored rows of the window
};

class FileReference final : public Reference {
 public:
  explicit FileReference(std::unique_ptr<ReferenceReader> reader) : reader_(std::move(reader)) {}

  Status start_window(std::span<const TokenId> window, int32_t first_scored) override {
    rows_.clear();
    for (size_t i = static_cast<size_t>(first_scored) + 1; i < window.size(); ++i) {
      QUERN_ASSIGN_OR_RETURN(ReferenceRow row, reader_->next());
      rows_.push_back(std::move(row));
    }
    return ok_status();
  }

  RowDivergence compare(size_t row, std::span<const float> logits, TokenId target) const override {
    return compare_rows(rows_[row], logits, target);
  }

 private:
  std::unique_ptr<ReferenceReader> reader_;
  std::vector<ReferenceRow> rows_;
};

// The rows of one step: each on its own, by all threads.
class RowWork {
 public:
  RowWork(ThreadPool& pool, const EvaluationHooks& hooks, size_t n_vocab)
      : pool_(pool), hooks_(hooks), n_vocab_(n_vocab) {}

  // `first` is the number of the first row in its window.
  void run(const ScoredRows& rows, size_t first) {
    scores_.resize(rows.targets.size());
    kept_.resize(hooks_.keep != nullptr ? rows.targets.size() : 0);
    pool_.parallel_for(static_cast<int64_t>(rows.targets.size()), 1,
                       [&](int64_t begin, int64_t end, int) {
                         for (int64_t i = begin; i < end; ++i) {
                           score(rows, static_cast<size_t>(i), first);
                         }
                       });
  }

  std::span<const RowDivergence> scores() const { return scores_; }
  bool all_finite() const {
    return std::all_of(scores_.begin(), scores_.end(), [](const RowDivergence& score) {
      return std::isfinite(score.nll) && std::isfinite(score.reference_nll) &&
             std::isfinite(score.kl);
    });
  }
  std::span<const ReferenceRow> kept() const { return kept_; }

 private:
  void score(const ScoredRows& rows, size_t i, size_t first) {
    const auto logits = rows.logits.subspan(i * n_vocab_, n_vocab_);
    const TokenId target = rows.targets[i];
    if (hooks_.reference != nullptr) {
      scores_[i] = hooks_.reference->compare(first + i, logits, target);
    } else {
      scores_[i].nll = negative_log_likelihood(logits, target);
    }
    // Rows with a NaN have no order; evaluate() ends at them.
    if (hooks_.keep != nullptr && std::isfinite(scores_[i].nll)) {
      kept_[i] = make_reference_row(logits, target);
    }
  }

  ThreadPool& pool_;
  const EvaluationHooks& hooks_;
  size_t n_vocab_;
  std::vector<RowDivergence> scores_;
  std::vector<ReferenceRow> kept_;
};

Error not_finite(int64_t window) {
  return Error(ErrorKind::kInvalidInput,
               "window " + std::to_string(window + 1) +
                   " gives logits that are not finite, in the model or in its reference; the file "
                   "is damaged, or its values are too large for this --kv-format");
}

}  // namespace

std::unique_ptr<Reference> reference_model(WindowScorer& scorer) {
  return std::make_unique<ModelReference>(scorer);
}

std::unique_ptr<Reference> reference_file(std::unique_ptr<ReferenceReader> reader) {
  return std::make_unique<FileReference>(std::move(reader));
}

Result<DivergenceTable> evaluate(WindowScorer& scorer, const Windows& windows, ThreadPool& pool,
                                 const EvaluationHooks& hooks) {
  DivergenceTable table;
  RowWork work(pool, hooks, static_cast<size_t>(scorer.n_vocab()));
  for (int64_t i = 0; i < windows.count(); ++i) {
    const std::vector<TokenId> window = windows.window(i);
    const int32_t first_scored = windows.first_scored();
    if (hooks.reference != nullptr) {
      QUERN_RETURN_IF_ERROR(hooks.reference->start_window(window, first_scored));
    }
    size_t row = 0;
    Status taken = ok_status();
    QUERN_RETURN_IF_ERROR(scorer.run(window, first_scored, [&](const ScoredRows& rows) {
      if (!taken.ok()) return;
      work.run(rows, row);
      row += rows.targets.size();
      if (!work.all_finite()) {
        taken = not_finite(i);
        return;
      }
      for (const RowDivergence& score : work.scores()) table.add(score);
      for (const ReferenceRow& one : work.kept()) {
        if (taken.ok()) taken = hooks.keep->add(one);
      }
    }));
    QUERN_RETURN_IF_ERROR(taken);
    const bool goes_on = !hooks.progress || hooks.progress(i + 1);
    if (!goes_on && i + 1 < windows.count()) {
      return Error(ErrorKind::kCancelled, "stopped after " + std::to_string(i + 1) + " of " +
                                              std::to_string(windows.count()) + " windows");
    }
  }
  return table;
}

}  // namespace quern::evaluate
