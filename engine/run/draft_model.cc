// Follows the sequences, runs, draws: see draft_model.h.
#include "engine/run/draft_model.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "config/base/check.h"

namespace quern::engine {
namespace {

// Logit of a token that the draft model does not have: finite, but never drawn.
constexpr float kNever = -1e30F;
// Tokens to catch up with for each token of the answer that may still come: more are not worth it.
constexpr size_t kCatchUp = 8;
// Tokens that are missing when the last draft came true: the one drawn behind it, and the last of
// it, which was not computed. With more a sequence catches up.
constexpr size_t kUsuallyMissing = 2;
constexpr double kTimeBlend = 0.2;  // weight of the newest run
constexpr double kMaxRatio = 4;     // of its time to the estimate, as one slow run is not the rule

}  // namespace

DraftModel::DraftModel(std::unique_ptr<StepRunner> runner, const DraftShape& shape, Log log)
    : runner_(std::move(runner)),
      shape_(shape),
      log_(std::move(log)),
      pool_(shape.n_pages),
      sampler_(shape.n_vocab_target) {
  logits_.resize(static_cast<size_t>(shape.max_running) * static_cast<size_t>(shape.n_vocab));
  row_.resize(static_cast<size_t>(shape.n_vocab_target));
}

// What was drafted and did not come true is forgotten; its keys and values are written over.
void DraftModel::follow(Track& track, std::span<const TokenId> tokens) const {
  CHECK(tokens.size() >= track.n_known);
  size_t same = track.n_known;
  while (same < std::min(tokens.size(), track.tokens.size()) &&
         tokens[same] == track.tokens[same]) {
    ++same;
  }
  const auto news = tokens.subspan(track.n_known);
  track.foreign = track.foreign || std::any_of(news.begin(), news.end(), [&](TokenId token) {
                    return token >= shape_.n_vocab;
                  });
  track.tokens.resize(same);
  track.tokens.insert(track.tokens.end(), tokens.begin() + static_cast<std::ptrdiff_t>(same),
                      tokens.end());
  track.n_known = tokens.size();
  // The last token is computed again when all are: its logits are wanted.
  track.n_computed = std::min({track.n_computed, same, tokens.size() - 1});
}

bool DraftModel::find_room(Track& track, int64_t n_positions, std::span<const DraftJob> jobs) {
  if (track.pages.grow(n_positions)) return true;
  for (auto& [id, other] : tracks_) {
    const bool busy = std::any_of(jobs.begin(), jobs.end(),
                                  [id = id](const DraftJob& job) { return job.id == id; });
    if (busy || other.pages.pages().empty()) continue;
    other.pages.release();
    other.n_computed = 0;
    if (track.pages.grow(n_positions)) return true;
  }
  return false;
}

std::vector<DraftModel::Active> DraftModel::begin(std::span<DraftJob> jobs) {
  std::vector<Active> active;
  for (DraftJob& job : jobs) {
    const auto found = tracks_.find(job.id);
    Track& track = found != tracks_.end()
                       ? found->second
                       : tracks_
                             .emplace(job.id, Track{.tokens = {},
                                                    .pages = PageTable(pool_, shape_.page_tokens)})
                             .first->second;
    follow(track, job.tokens);
    // The last drafted token is not computed.
    const auto n_positions = static_cast<int64_t>(job.tokens.size()) + job.n_wanted - 1;
    if (track.foreign || job.n_wanted <= 0 || n_positions > shape_.context_tokens ||
        track.n_missing() > kCatchUp * static_cast<size_t>(std::max<int64_t>(job.n_left, 1)) ||
        !find_room(track, n_positions, jobs)) {
      continue;
    }
    active.push_back({&job, &track});
  }
  CHECK(active.size() <= static_cast<size_t>(shape_.max_running));
  // Those that are furthest first, so that one long prompt does not keep the others waiting.
  std::stable_sort(active.begin(), active.end(), [](const Active& a, const Active& b) {
    return a.track->n_missing() < b.track->n_missing();
  });
  return active;
}

void DraftModel::draft(std::span<DraftJob> jobs, double spare_ns) {
  using Clock = std::chrono::steady_clock;
  if (gone_) return;
  std::vector<Active> active = begin(jobs);
  while (!active.empty()) {
    const auto start = Clock::now();
    share_room(active, spare_ns);
    const Status ran = run(active);
    const Status model = runner_->check_model();
    if (!ran.ok() || !model.ok()) {
      for (DraftJob& job : jobs) job.drafted.clear();
      give_up(ran.ok() ? model.error() : ran.error());
      return;
    }
    const auto width = static_cast<size_t>(shape_.n_vocab);
    std::vector<Active> next;
    size_t row = 0;
    for (Active& one : active) {
      if (!one.draws) continue;  // not ready in this step
      if (draw(one, std::span(logits_).subspan(row++ * width, width))) next.push_back(one);
    }
    note_time(active, std::chrono::duration<double, std::nano>(Clock::now() - start).count());
    active.swap(next);
  }
}

// `active` is in the order of what is missing, so that those who draft come first, as streams do in
// a plan. The time of a draft is that of runs without anybody who catches up.
void DraftModel::note_time(std::span<const Active> active, double ns) {
  StepPlan made;
  for (const Active& one : active) {
    if (one.n_tokens == 0) continue;
    PlannedSequence done;
    done.first_position = static_cast<int64_t>(one.n_before);
    done.n_tokens = static_cast<int32_t>(one.n_tokens);
    made.sequences.push_back(done);
    made.n_decodes += one.catches_up ? 0 : 1;
  }
  meter_.note(made, ns);
  if (made.n_decodes < static_cast<int32_t>(made.sequences.size())) return;
  run_ns_ = run_ns_ > 0 ? run_ns_ + kTimeBlend * (std::min(ns, kMaxRatio * run_ns_) - run_ns_) : ns;
}

// How many tokens each gets of the next run. Those who catch up share `spare_ns`.
void DraftModel::share_room(std::vector<Active>& active, double spare_ns) const {
  const StepCosts& costs = meter_.costs();
  auto room = static_cast<size_t>(std::max(shape_.max_step_tokens, shape_.max_running));
  int64_t n_caught_up = 0;
  for (Active& one : active) {
    one.n_before = one.track->n_computed;
    const size_t missing = one.track->n_missing();
    one.n_tokens = std::min(missing, room);
    one.catches_up = missing > kUsuallyMissing;
    if (one.catches_up) {
      const auto first = static_cast<int64_t>(one.n_before);
      const int64_t timely = costs.chunk_within(spare_ns, first, n_caught_up);
      one.n_tokens = std::min(one.n_tokens, static_cast<size_t>(std::max<int64_t>(timely, 0)));
      n_caught_up += static_cast<int64_t>(one.n_tokens);
      spare_ns -= costs.prompt_ns(static_cast<int64_t>(one.n_tokens), first);
    }
    one.draws = one.n_tokens > 0 && one.n_tokens == missing;
    room -= one.n_tokens;
  }
}

// One run of the draft model over what each was given of it.
Status DraftModel::run(const std::vector<Active>& active) {
  step_tokens_.clear();
  slices_.clear();
  outputs_.clear();
  for (const Active& one : active) {
    Track& track = *one.track;
    if (one.n_tokens == 0) continue;
    const auto part = std::span(track.tokens).subspan(track.n_computed, one.n_tokens);
    slices_.push_back({static_cast<int32_t>(step_tokens_.size()),
                       static_cast<int32_t>(one.n_tokens), static_cast<int32_t>(track.n_computed),
                       track.pages.pages()});
    step_tokens_.insert(step_tokens_.end(), part.begin(), part.end());
    if (one.draws) outputs_.push_back(static_cast<int32_t>(step_tokens_.size()) - 1);
  }
  const size_t n_logits = outputs_.size() * static_cast<size_t>(shape_.n_vocab);
  QUERN_RETURN_IF_ERROR(
      runner_->run({step_tokens_, slices_, outputs_}, std::span(logits_).first(n_logits)));
  for (const Active& one : active) one.track->n_computed += one.n_tokens;
  return ok_status();
}

// Draws the next token of a draft; false when that was the last one.
bool DraftModel::draw(Active& one, std::span<const float> row) {
  DraftJob& job = *one.job;
  Track& track = *one.track;
  const size_t n = std::min(row.size(), row_.size());
  std::copy_n(row.begin(), n, row_.begin());
  std::fill(row_.begin() + static_cast<std::ptrdiff_t>(n), row_.end(), kNever);
  SampleInput input{row_, track.tokens, track.tokens.size(), std::nullopt};
  std::shared_ptr<const grammar::TokenMask> mask;
  if (job.matcher) {
    auto made = job.matcher->mask();
    if (!made.ok()) return false;
    mask = std::move(*made);
    input.permitted = mask->bits;
  }
  const Result<Sample> drawn = sampler_.sample(input, *job.sampling);
  if (!drawn.ok()) return false;
  const TokenId token = drawn->token;
  job.drafted.push_back(token);
  if (token >= shape_.n_vocab || static_cast<int32_t>(job.drafted.size()) == job.n_wanted) {
    return false;
  }
  if (job.matcher && (!job.matcher->accept(token).ok() || job.matcher->complete())) return false;
  track.tokens.push_back(token);
  return true;
}

// Nothing is lost but speed, which somebody should know.
void DraftModel::give_up(const Error& error) {
  gone_ = true;
  tracks_.clear();
  log_.warn("no more drafts from the draft model: " + error.message());
}

}  // namespace quern::engine
