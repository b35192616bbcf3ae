// The order of work: decodes, prompts, admissions. All loops are over running sequences or admitted
// ones, so a plan costs O(max_running^2) comparisons of one page at worst, plus the pages it takes.
#include "engine/scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "config/base/check.h"

namespace quern::engine {
namespace {

// What a token counts between shares. Generating keeps a place and its pages for a whole step.
constexpr double kPromptCharge = 1;
constexpr double kDecodeCharge = 2;

}  // namespace

Scheduler::Scheduler(const Budget& budget)
    : budget_(budget), pool_(budget.n_pages), tree_(pool_, budget.page_tokens) {
  CHECK(budget.max_running >= 1);
  CHECK(budget.max_step_tokens >= budget.max_running);
  CHECK(budget.max_step_outputs >= budget.max_running);
  CHECK(budget.page_tokens >= 1 && budget.max_idle_pages >= 0);
  running_.reserve(static_cast<size_t>(budget.max_running));
}

Scheduler::Entry& Scheduler::entry(SequenceId id) {
  const auto found = entries_.find(id);
  CHECK(found != entries_.end());
  return found->second;
}

const Scheduler::Entry& Scheduler::entry(SequenceId id) const {
  const auto found = entries_.find(id);
  CHECK(found != entries_.end());
  return found->second;
}

Status Scheduler::add(const NewSequence& sequence) {
  const auto n_prompt = static_cast<int64_t>(sequence.tokens.size());
  CHECK(n_prompt >= 1 && sequence.max_positions >= n_prompt);
  CHECK(entries_.empty() || entries_.rbegin()->first < sequence.id);
  const int64_t wanted = pages_for(sequence.max_positions, budget_.page_tokens);
  if (wanted > pool_.n_pages()) {
    const int64_t held = int64_t{pool_.n_pages()} * budget_.page_tokens;
    return Error(ErrorKind::kContextOverflow,
                 "the request may use " + std::to_string(sequence.max_positions) +
                     " tokens, the KV cache holds " + std::to_string(held) +
                     "; shorten the request or give the cache more memory");
  }
  Entry fresh{.tokens = {sequence.tokens.begin(), sequence.tokens.end()},
              .n_prompt = n_prompt,
              .max_positions = sequence.max_positions,
              .first_output = sequence.first_output,
              .ticket = WaitQueue::make_ticket(sequence.id, sequence.share, sequence.priority),
              .space = {sequence.share, sequence.adapters},
              .followers = {},
              .pages = PageTable(pool_, budget_.page_tokens)};
  if (sequence.leader) {
    fresh.state = State::kHeld;
    fresh.leader = *sequence.leader;
    CHECK(entry(fresh.leader).n_prompt == n_prompt && entry(fresh.leader).space == fresh.space &&
          entry(fresh.leader).state != State::kHeld);
    entry(fresh.leader).followers.reserve(entry(fresh.leader).followers.size() + 1);
  }
  const auto placed = entries_.emplace(sequence.id, std::move(fresh)).first;
  try {
    queue_.enter(sequence.share);
  } catch (...) {
    entries_.erase(placed);
    throw;
  }
  if (sequence.leader) {
    entry(*sequence.leader).followers.push_back(sequence.id);
  } else {
    queue_.push(placed->second.ticket);
  }
  return ok_status();
}

void Scheduler::remove(SequenceId id) {
  Entry& gone = entry(id);
  if (gone.state == State::kRunning) stop_running(id, gone);
  if (gone.state == State::kWaiting) queue_.erase(gone.ticket);
  if (gone.state == State::kHeld) std::erase(entry(gone.leader).followers, id);
  if (!gone.followers.empty()) {
    std::vector<SequenceId> left = std::move(gone.followers);
    const SequenceId next = left.front();
    left.erase(left.begin());
    for (const SequenceId other : left) entry(other).leader = next;
    Entry& heir = entry(next);
    heir.followers = std::move(left);
    heir.state = State::kWaiting;
    queue_.push(heir.ticket);
  }
  queue_.leave(gone.ticket.share);
  entries_.erase(id);
}

void Scheduler::clear() {
  running_.clear();
  queue_.clear();
  entries_.clear();
}

void Scheduler::start_running(SequenceId id, Entry& found) {
  found.state = State::kRunning;
  running_.insert(std::lower_bound(running_.begin(), running_.end(), id), id);
}

// The caller says what state follows.
void Scheduler::stop_running(SequenceId id, Entry& found) {
  give_up_pages(found);
  std::erase(running_, id);
}

StepPlan Scheduler::plan(const StepCosts& costs, std::span<const Speculation> drafts) {
  StepPlan plan;
  plan_decodes(plan);
  plan.n_decodes = static_cast<int32_t>(plan.sequences.size());
  PromptRoom room{&costs, plan.n_decodes > 0, 0, 0};
  if (room.bounded) room.ns = costs.prompt_budget_ns(plan.n_decodes, budget_.max_gap_ns);
  plan_prompts(room, plan);
  while (chunk_limit(room, 0, plan) > 0) {
    const auto admitted = admit_next(plan);
    if (!admitted) break;
    if (!computed_by_other(entry(*admitted), plan)) plan_chunk(*admitted, room, plan);
  }
  lacks_pages_ =
      queue_.size() > 0 && n_running() < budget_.max_running && chunk_limit(room, 0, plan) > 0;
  if (plan.sequences.size() == static_cast<size_t>(plan.n_decodes)) {
    for (const Speculation& draft : drafts) plan_draft(draft, plan);
  }
  drop_surplus();
  return plan;
}

// Pages first, then tokens: who asks for a page may take it from one that has got its own already.
void Scheduler::plan_decodes(StepPlan& plan) {
  const std::vector<SequenceId> before = running_;
  for (const SequenceId id : before) {
    const Entry& found = entry(id);
    if (found.state == State::kRunning && found.n_missing() == 1) make_room(id, plan);
  }
  for (const SequenceId id : running_) {
    if (entry(id).n_missing() == 1) plan_tokens(id, 1, plan);
  }
}

// Running sequences whose prompt (or recomputation) is unfinished. Their pages were taken at
// admission. The least served share goes first; within it, the oldest.
void Scheduler::plan_prompts(PromptRoom& room, StepPlan& plan) {
  std::vector<SequenceId> order;
  for (const SequenceId id : running_) {
    if (entry(id).n_missing() > 1) order.push_back(id);
  }
  std::stable_sort(order.begin(), order.end(), [&](SequenceId a, SequenceId b) {
    return queue_.served(entry(a).ticket.share) < queue_.served(entry(b).ticket.share);
  });
  for (const SequenceId id : order) {
    Entry& found = entry(id);
    skip_known_pages(found);
    if (!computed_by_other(found, plan)) plan_chunk(id, room, plan);
  }
}

// Tokens that a prompt may have computed in this step from `first_position` on.
int64_t Scheduler::chunk_limit(const PromptRoom& room, int64_t first_position,
                               const StepPlan& plan) const {
  const int64_t tokens = budget_.max_step_tokens - plan.n_tokens;
  if (!room.bounded) return tokens;
  return std::min(tokens, room.costs->chunk_within(room.ns, first_position, room.n_tokens));
}

void Scheduler::plan_chunk(SequenceId id, PromptRoom& room, StepPlan& plan) {
  const int64_t first = entry(id).n_computed;
  const int32_t before = plan.n_tokens;
  plan_tokens(id, chunk_limit(room, first, plan), plan);
  const int64_t added = plan.n_tokens - before;
  room.n_tokens += added;
  if (room.bounded) room.ns -= room.costs->prompt_ns(added, first);
}

// Adds up to `limit` uncomputed tokens of `id`, bounded by the rows of logits that are left when
// every other running sequence is granted one.
void Scheduler::plan_tokens(SequenceId id, int64_t limit, StepPlan& plan) {
  const Entry& found = entry(id);
  const int64_t first = found.n_computed;
  const int64_t first_output = std::max(found.first_output, first);
  const auto planned = static_cast<int64_t>(plan.sequences.size());
  const int64_t rows =
      budget_.max_step_outputs - plan.n_outputs - (budget_.max_running - planned - 1);
  int64_t end = std::min(found.n_tokens(), first + limit);
  end = std::min(end, first_output + rows);
  if (end <= first) return;
  PlannedSequence out;
  out.id = id;
  out.first_position = first;
  out.n_tokens = static_cast<int32_t>(end - first);
  out.n_outputs = static_cast<int32_t>(std::max<int64_t>(0, end - first_output));
  plan.n_tokens += out.n_tokens;
  plan.n_outputs += out.n_outputs;
  plan.sequences.push_back(out);
}

std::map<ShareId, int32_t> Scheduler::waiting_by_share() const {
  std::map<ShareId, int32_t> out;
  for (const auto& [id, found] : entries_) {
    if (found.state != State::kRunning) ++out[found.ticket.share];
  }
  return out;
}

bool Scheduler::generates(SequenceId id) const {
  const Entry& found = entry(id);
  return found.state == State::kRunning && found.n_missing() == 1 &&
         found.n_tokens() > found.n_prompt;
}

bool Scheduler::expects_prompts() const {
  if (queue_.size() > 0 && n_running() < budget_.max_running && !lacks_pages_) return true;
  return std::any_of(running_.begin(), running_.end(),
                     [this](SequenceId id) { return !generates(id); });
}

// Lengthens what is planned of a sequence that generates. The first token of an answer is drawn
// without a draft behind the prompt: its pages may go to others.
void Scheduler::plan_draft(const Speculation& draft, StepPlan& plan) {
  const auto planned = std::find_if(plan.sequences.begin(), plan.sequences.end(),
                                    [&](const PlannedSequence& p) { return p.id == draft.id; });
  if (planned == plan.sequences.end() || !generates(draft.id)) return;
  Entry& found = entry(draft.id);
  CHECK(planned->n_tokens == 1 && planned->n_outputs == 1);
  int64_t n = std::min<int64_t>(draft.n_tokens, found.max_positions - found.n_tokens());
  n = std::min<int64_t>(n, budget_.max_step_tokens - plan.n_tokens);
  n = std::min<int64_t>(n, budget_.max_step_outputs - plan.n_outputs);
  n = room_behind(found, n);
  if (n <= 0) return;
  found.n_drafted = n;
  planned->n_drafted = static_cast<int32_t>(n);
  planned->n_tokens += planned->n_drafted;
  planned->n_outputs += planned->n_drafted;
  plan.n_tokens += planned->n_drafted;
  plan.n_outputs += planned->n_drafted;
  plan.n_drafted += planned->n_drafted;
}

void Scheduler::commit(const StepPlan& plan) {
  int32_t index = 0;
  for (const PlannedSequence& done : plan.sequences) {
    Entry& found = entry(done.id);
    CHECK(found.state == State::kRunning && found.n_computed == done.first_position);
    const int32_t n_known = done.n_tokens - done.n_drafted;
    found.n_computed += n_known;
    if (done.n_outputs > 0) found.first_output = found.n_computed;
    const bool decode = index++ < plan.n_decodes;
    queue_.charge(found.ticket.share, n_known * (decode ? kDecodeCharge : kPromptCharge));
    file_pages(done.id, found);
  }
}

void Scheduler::append_token(SequenceId id, TokenId token) {
  Entry& found = entry(id);
  CHECK(found.n_missing() == 0 || found.state == State::kWaiting);
  CHECK(found.n_tokens() < found.max_positions);
  found.tokens.push_back(token);
  if (found.n_drafted == 0) return;
  found.n_drafted = 0;
  found.pages.truncate(found.n_computed);
}

// Charged like a token that took a step of its own; guesses that were wrong cost nobody's share.
void Scheduler::confirm_token(SequenceId id, TokenId token) {
  Entry& found = entry(id);
  CHECK(found.n_missing() == 0 && found.n_drafted > 0);
  found.tokens.push_back(token);
  --found.n_drafted;
  found.first_output = ++found.n_computed;
  queue_.charge(found.ticket.share, kDecodeCharge);
  file_pages(id, found);
}

void Scheduler::restart(SequenceId id, std::span<const TokenId> tokens, int64_t max_positions) {
  Entry& found = entry(id);
  const auto n_tokens = static_cast<int64_t>(tokens.size());
  CHECK(found.followers.empty() && found.state != State::kHeld);
  CHECK(n_tokens >= 1 && n_tokens <= max_positions);
  CHECK(pages_for(max_positions, budget_.page_tokens) <= pool_.n_pages());
  found.tokens.assign(tokens.begin(), tokens.end());  // fewer than it had
  found.n_prompt = n_tokens;
  found.first_output = n_tokens - 1;
  found.max_positions = max_positions;
  found.n_drafted = 0;
  if (found.state != State::kRunning) return;  // forked, and there was no place yet
  stop_running(id, found);
  found.state = State::kWaiting;
  queue_.push(found.ticket);
}

void Scheduler::fork(SequenceId follower) {
  Entry& found = entry(follower);
  CHECK(found.state == State::kHeld);
  Entry& leader = entry(found.leader);
  CHECK(leader.state == State::kRunning && leader.n_computed == leader.n_prompt &&
        leader.n_missing() == 0);
  if (n_running() < budget_.max_running) {
    found.pages.share_front(leader.pages, leader.pages.pages().size());
    found.n_computed = leader.n_computed;
    found.n_filed = leader.n_filed;
    start_running(follower, found);
  } else {
    // Finds most of it in the tree once there is a place.
    found.state = State::kWaiting;
    queue_.push(found.ticket);
  }
  found.first_output = found.n_prompt;
  found.n_cached = found.n_prompt;
  std::erase(leader.followers, follower);
}

}  // namespace quern::engine
