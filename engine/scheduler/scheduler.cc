// Admission, chunking and preemption. All loops are over running sequences or admitted ones, so a
// plan costs O(max_running log n) plus the pages it takes.
#include "engine/scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "config/base/check.h"

namespace quern::engine {

Scheduler::Scheduler(const Budget& budget) : budget_(budget), pool_(budget.n_pages) {
  CHECK(budget.max_running >= 1);
  CHECK(budget.max_step_tokens >= budget.max_running);
  CHECK(budget.max_step_outputs >= budget.max_running);
  CHECK(budget.page_tokens >= 1);
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
  CHECK(sequence.n_tokens >= 1 && sequence.max_positions >= sequence.n_tokens);
  CHECK(entries_.empty() || entries_.rbegin()->first < sequence.id);
  const int64_t wanted = pages_for(sequence.max_positions, budget_.page_tokens);
  if (wanted > pool_.n_pages()) {
    const int64_t held = int64_t{pool_.n_pages()} * budget_.page_tokens;
    return Error(ErrorKind::kContextOverflow,
                 "the request may use " + std::to_string(sequence.max_positions) +
                     " tokens, the KV cache holds " + std::to_string(held) +
                     "; shorten the request or give the cache more memory");
  }
  entries_.emplace(sequence.id,
                   Entry{sequence.n_tokens, 0, sequence.max_positions, sequence.first_output, false,
                         PageTable(pool_, budget_.page_tokens)});
  waiting_.push_back(sequence.id);
  return ok_status();
}

void Scheduler::remove(SequenceId id) {
  const Entry& found = entry(id);
  if (found.running) {
    std::erase(running_, id);
  } else {
    std::erase(waiting_, id);
  }
  entries_.erase(id);
}

void Scheduler::clear() {
  running_.clear();
  waiting_.clear();
  entries_.clear();
}

StepPlan Scheduler::plan() {
  StepPlan plan;
  plan_decodes(plan);
  plan_prompts(plan);
  while (plan.n_tokens < budget_.max_step_tokens && admit_next()) {
    plan_tokens(running_.back(), budget_.max_step_tokens - plan.n_tokens, plan);
  }
  return plan;
}

// Oldest first; make_room() may take sequences off the end of running_ meanwhile.
void Scheduler::plan_decodes(StepPlan& plan) {
  for (size_t i = 0; i < running_.size(); ++i) {
    const SequenceId id = running_[i];
    const Entry& found = entry(id);
    if (found.n_tokens - found.n_computed != 1) continue;
    if (make_room(id, plan)) plan_tokens(id, 1, plan);
  }
}

// Running sequences whose prompt (or recomputation) is unfinished. Their pages were taken at
// admission.
void Scheduler::plan_prompts(StepPlan& plan) {
  for (const SequenceId id : running_) {
    const Entry& found = entry(id);
    if (found.n_tokens - found.n_computed <= 1) continue;
    plan_tokens(id, budget_.max_step_tokens - plan.n_tokens, plan);
  }
}

// Each running sequence may take a page at any step. Keeping one spare for each avoids that an
// admission is undone by a preemption one step later.
int64_t Scheduler::pages_kept_for_growth() const {
  int64_t kept = 0;
  for (const SequenceId id : running_) {
    const Entry& found = entry(id);
    kept += found.pages.capacity() < found.max_positions ? 1 : 0;
  }
  return kept;
}

bool Scheduler::admit_next() {
  if (waiting_.empty() || n_running() >= budget_.max_running) return false;
  const SequenceId id = waiting_.front();
  Entry& next = entry(id);
  const int64_t wanted = pages_for(next.n_tokens, budget_.page_tokens);
  if (wanted + pages_kept_for_growth() > pool_.n_free()) return false;
  CHECK(next.pages.grow(next.n_tokens));
  next.running = true;
  running_.push_back(id);
  waiting_.pop_front();
  return true;
}

// Pages for all tokens of `id`; false when it had to give up its own.
bool Scheduler::make_room(SequenceId id, StepPlan& plan) {
  Entry& wanting = entry(id);
  while (!wanting.pages.grow(wanting.n_tokens)) {
    const bool itself = running_.back() == id;
    preempt_newest(plan);
    if (itself) return false;
  }
  return true;
}

// The newest is never in the plan yet when an older one makes room: decodes are planned oldest
// first and prompts after all decodes.
void Scheduler::preempt_newest(StepPlan& plan) {
  // Alone it would fit: add() refuses what outgrows the pool.
  CHECK(running_.size() > 1);
  const SequenceId id = running_.back();
  CHECK(plan.sequences.empty() || plan.sequences.back().id < id);
  Entry& victim = entry(id);
  victim.pages.release();
  victim.n_computed = 0;
  victim.running = false;
  running_.pop_back();
  waiting_.push_front(id);
  plan.preempted.push_back(id);
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
  int64_t end = std::min(found.n_tokens, first + limit);
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

void Scheduler::commit(const StepPlan& plan) {
  for (const PlannedSequence& done : plan.sequences) {
    Entry& found = entry(done.id);
    CHECK(found.running && found.n_computed == done.first_position);
    found.n_computed += done.n_tokens;
    if (done.n_outputs > 0) found.first_output = found.n_computed;
  }
}

void Scheduler::append_token(SequenceId id) {
  Entry& found = entry(id);
  CHECK(found.n_computed == found.n_tokens);
  CHECK(found.n_tokens < found.max_positions);
  ++found.n_tokens;
}

std::span<const PageId> Scheduler::pages(SequenceId id) const { return entry(id).pages.pages(); }

int64_t Scheduler::n_computed(SequenceId id) const { return entry(id).n_computed; }

std::optional<std::string> Scheduler::check_integrity() const {
  std::vector<PageId> held;
  for (const auto& [id, found] : entries_) {
    const std::string name = "sequence " + std::to_string(id);
    const auto pages = found.pages.pages();
    held.insert(held.end(), pages.begin(), pages.end());
    if (!found.running && (!pages.empty() || found.n_computed != 0)) {
      return name + " waits and holds pages";
    }
    if (found.n_computed > found.n_tokens || found.n_tokens > found.max_positions) {
      return name + " counts more tokens than it has";
    }
    if (found.n_computed > found.pages.capacity()) return name + " lacks pages";
  }
  if (running_.size() + waiting_.size() != entries_.size()) return "a sequence is in no queue";
  if (n_running() > budget_.max_running) return "too many sequences run";
  std::vector<SequenceId> order(running_);
  order.insert(order.end(), waiting_.begin(), waiting_.end());
  if (!std::is_sorted(order.begin(), order.end())) return "queues are out of order";
  for (const SequenceId id : running_) {
    if (!entry(id).running) return "a running sequence is marked waiting";
  }
  return pool_.check_integrity(held);
}

}  // namespace quern::engine
