#include "kernels/cpu/expert_groups.h"

#include <algorithm>

#include "config/base/check.h"

namespace quern::cpu {
namespace {

// Reading and unpacking a panel costs about as much as multiplying it with this many rows: Q4_K on
// a 2-core Xeon with AVX-512 VNNI takes 25 ps a weight for one row and 3.6 ps a product for 512.
constexpr int64_t kUnpackRows = 7;

int64_t round_up_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

void group_by_expert(const ops::ExpertRouting& routing, int64_t n_rows) {
  const int64_t n_pairs = n_rows * routing.n_used;
  std::fill_n(routing.firsts, routing.n_experts + 1, 0);
  for (int64_t i = 0; i < n_pairs; ++i) ++routing.firsts[routing.experts[i] + 1];
  for (int64_t e = 0; e < routing.n_experts; ++e) routing.firsts[e + 1] += routing.firsts[e];
  // firsts[e] counts up to the end of e, which is where e + 1 began; then it is moved back.
  for (int64_t i = 0; i < n_pairs; ++i) {
    const int32_t place = routing.firsts[routing.experts[i]]++;
    routing.places[i] = place;
    routing.sources[place] = static_cast<int32_t>(i / routing.n_used);
  }
  std::copy_backward(routing.firsts, routing.firsts + routing.n_experts,
                     routing.firsts + routing.n_experts + 1);
  routing.firsts[0] = 0;
}

void ExpertJobs::clear() {
  jobs_.clear();
  length_ = 0;
}

void ExpertJobs::add(const MatmulTask& task, MatmulFn multiply) {
  CHECK(task.n_rows > 0);
  const Job job = {task, multiply, length_, task.n_rows + kUnpackRows,
                   round_up_divide(task.n_out, kPanelRows)};
  jobs_.push_back(job);
  length_ += job.n_panels * job.panel_length;
}

void ExpertJobs::run(int64_t begin, int64_t end, const MatmulScratch& scratch) const {
  // The last job that begins at or before the piece.
  auto job = std::upper_bound(jobs_.begin(), jobs_.end(), begin,
                              [](int64_t at, const Job& j) { return at < j.first; });
  for (--job; job != jobs_.end() && job->first < end; ++job) {
    const int64_t from =
        round_up_divide(std::max(begin - job->first, int64_t{0}), job->panel_length);
    const int64_t to =
        std::min(round_up_divide(end - job->first, job->panel_length), job->n_panels);
    if (from < to) job->multiply(job->task, from, to, scratch);
  }
}

}  // namespace quern::cpu
