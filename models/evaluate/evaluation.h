// Runs a whole text through a model, window by window, beside a reference or alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "config/base/thread_pool.h"
#include "models/evaluate/reference_file.h"
#include "models/evaluate/summary.h"
#include "models/evaluate/window_scorer.h"

namespace quern::evaluate {

// What rows are compared with. Window by window, in order.
class Reference {
 public:
  virtual ~Reference() = default;
  virtual Status start_window(std::span<const TokenId> window, int32_t first_scored) = 0;
  // Row `row` of the window that was started last. From any thread.
  virtual RowDivergence compare(size_t row, std::span<const float> logits,
                                TokenId target) const = 0;
};

// Another model, run beside: exact. `scorer` must outlive it.
std::unique_ptr<Reference> reference_model(WindowScorer& scorer);
// What ReferenceWriter kept: close, see compare_rows.
std::unique_ptr<Reference> reference_file(std::unique_ptr<ReferenceReader> reader);

struct EvaluationHooks {
  Reference* reference = nullptr;   // null: perplexity only
  ReferenceWriter* keep = nullptr;  // null: rows are not kept
  // After each window; false ends the evaluation with kCancelled.
  std::function<bool(int64_t done)> progress;
};

// Rows of all windows. Without a reference only the column of nll() means anything. Errors: of a
// step; logits that are not finite, of the model or of the reference (names the window).
Result<DivergenceTable> evaluate(WindowScorer& scorer, const Windows& windows, ThreadPool& pool,
                                 const EvaluationHooks& hooks);

}  // namespace quern::evaluate
