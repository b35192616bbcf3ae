// One step: cancel, plan, run, draw, deliver. Memory running out fails the sequences of the step.
#include "engine/run/engine_core.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "config/base/check.h"
#include "engine/sample/logprobs.h"

namespace quern::engine {
namespace {

TimePoint now() { return std::chrono::steady_clock::now(); }

Error out_of_memory() {
  return Error(ErrorKind::kOutOfMemory, "memory ran out during a step; retry when less is running");
}

}  // namespace

EngineCore::EngineCore(StepRunner& runner, const Budget& budget, int64_t n_vocab)
    : runner_(&runner), n_vocab_(n_vocab), scheduler_(budget), sampler_(n_vocab) {
  logits_.resize(static_cast<size_t>(budget.max_step_outputs) * static_cast<size_t>(n_vocab));
}

void EngineCore::accept(Submission submission) {
  const SequenceId id = ++last_id_;
  const std::shared_ptr<EventQueue> events = submission.events;
  try {
    enqueue(id, std::move(submission));
  } catch (const std::bad_alloc&) {
    const auto it = live_.find(id);
    if (it != live_.end()) {
      fail(it, out_of_memory());
    } else {
      ++counters_.failed;
      events->fail_out_of_memory();
    }
  }
}

void EngineCore::enqueue(SequenceId id, Submission submission) {
  const Sequence& sequence = *submission.sequence;
  const auto it =
      live_.emplace(id, Live{std::move(submission.sequence), std::move(submission.events), Event{}})
          .first;
  const bool prompt_only = !sequence.wants_tokens();
  if (prompt_only && !sequence.request().prompt_logprobs) {
    finish(it, FinishReason::kLength);
    return;
  }
  NewSequence entry;
  entry.id = id;
  entry.n_tokens = sequence.n_prompt();
  // The last token is only reported, never computed.
  entry.max_positions = std::max(sequence.n_prompt(), sequence.max_tokens_in_all() - 1);
  entry.first_output = sequence.request().prompt_logprobs ? 0 : sequence.n_prompt() - 1;
  const Status added = scheduler_.add(entry);
  if (!added.ok()) fail(it, added.error());
}

void EngineCore::step() {
  plan_ = StepPlan();
  bool planned = false;
  try {
    sweep_cancelled();
    if (idle()) return;
    plan_ = scheduler_.plan();
    planned = true;
    run_step();
  } catch (const std::bad_alloc&) {
    if (planned) {
      fail_step(out_of_memory());
    } else {
      fail_all(out_of_memory());
      scheduler_.clear();
    }
  }
}

void EngineCore::sweep_cancelled() {
  for (auto it = live_.begin(); it != live_.end();) {
    const auto next = std::next(it);
    if (it->second.events->cancelled()) finish(it, FinishReason::kCancelled);
    it = next;
  }
}

void EngineCore::run_step() {
  // The oldest sequence can always run, see Scheduler.
  CHECK(!plan_.empty());
  ++counters_.steps;
  counters_.preemptions += plan_.preempted.size();
  const Status ran = run_model();
  if (const Status model = runner_->check_model(); !model.ok()) {
    broken_ = model.error();
    fail_all(*broken_);
    return;
  }
  if (!ran.ok()) {
    fail_step(ran.error());
    return;
  }
  scheduler_.commit(plan_);
  size_t row = 0;
  for (const PlannedSequence& planned : plan_.sequences) {
    const auto n_rows = static_cast<size_t>(planned.n_outputs);
    const auto width = static_cast<size_t>(n_vocab_);
    consume_rows(planned, std::span(logits_).subspan(row * width, n_rows * width));
    row += n_rows;
  }
}

Status EngineCore::run_model() {
  const TimePoint begin = now();
  sources_.clear();
  for (const PlannedSequence& planned : plan_.sequences) {
    Sequence& sequence = *live_.at(planned.id).sequence;
    sequence.note_step(begin);
    sources_.push_back({sequence.tokens(), scheduler_.pages(planned.id)});
  }
  const ops::StepInputs inputs = builder_.build(plan_, sources_);
  const size_t n_logits = inputs.outputs.size() * static_cast<size_t>(n_vocab_);
  return runner_->run(inputs, std::span(logits_).first(n_logits));
}

// Rows of one sequence, in order of position: of the prompt first, the one that the next token is
// drawn from last.
void EngineCore::consume_rows(const PlannedSequence& planned, std::span<float> rows) {
  const auto it = live_.find(planned.id);
  CHECK(it != live_.end());
  Live& live = it->second;
  const int64_t end = planned.first_position + planned.n_tokens;
  for (int32_t i = 0; i < planned.n_outputs; ++i) {
    const int64_t position = end - planned.n_outputs + i;
    const auto width = static_cast<size_t>(n_vocab_);
    const auto row = rows.subspan(static_cast<size_t>(i) * width, width);
    if (position + 1 < live.sequence->n_prompt()) {
      const Status taken = take_prompt_logprob(live, row, position);
      if (taken.ok()) continue;
      fail(it, taken.error());
      return;
    }
    CHECK(i + 1 == planned.n_outputs);
    draw(it, row);  // may end the sequence
  }
}

Status EngineCore::take_prompt_logprob(Live& live, std::span<const float> row, int64_t position) {
  if (!all_finite(row)) return Error(ErrorKind::kInternal, std::string(kNonFiniteMessage));
  const Sequence& sequence = *live.sequence;
  const TokenId next = sequence.tokens()[static_cast<size_t>(position + 1)];
  live.prompt_piece.prompt_logprobs.push_back(
      token_logprob(row, next, sequence.request().top_logprobs.value_or(0)));
  return ok_status();
}

void EngineCore::draw(LiveMap::iterator it, std::span<float> row) {
  Live& live = it->second;
  Sequence& sequence = *live.sequence;
  const bool first = sequence.tokens().size() == static_cast<size_t>(sequence.n_prompt());
  if (first) {
    counters_.prompt_tokens += static_cast<uint64_t>(sequence.n_prompt());
    if (sequence.request().prompt_logprobs && !deliver(it, std::exchange(live.prompt_piece, {}))) {
      return;
    }
  }
  if (!sequence.wants_tokens()) {
    finish(it, FinishReason::kLength);
    return;
  }
  const SampleInput input{row, sequence.tokens(), sequence.tokens().size(),
                          sequence.request().top_logprobs};
  Result<Sample> sample = sampler_.sample(input, sequence.request().sampling);
  if (!sample.ok()) {
    fail(it, sample.error());
    return;
  }
  ++counters_.completion_tokens;
  Event piece;
  const auto reason = sequence.accept(sample->token, std::move(sample->logprob), now(), piece);
  const bool visible = !piece.text.empty() || !piece.tokens.empty();
  if (visible && !deliver(it, std::move(piece))) return;
  if (reason) {
    finish(it, *reason);
  } else {
    scheduler_.append_token(it->first);
  }
}

bool EngineCore::deliver(LiveMap::iterator it, Event piece) {
  if (it->second.events->push(std::move(piece))) return true;
  fail(it, Error(ErrorKind::kCancelled,
                 "the client reads too slowly: the buffer of its answer is full"));
  return false;
}

void EngineCore::finish(LiveMap::iterator it, FinishReason reason) {
  ++(reason == FinishReason::kCancelled ? counters_.cancelled : counters_.finished);
  if (scheduler_.contains(it->first)) scheduler_.remove(it->first);
  const Live live = std::move(it->second);
  live_.erase(it);
  try {
    live.events->push(live.sequence->finished(reason, now()));
  } catch (const std::bad_alloc&) {
    live.events->fail_out_of_memory();
  }
}

void EngineCore::fail(LiveMap::iterator it, const Error& error) {
  ++counters_.failed;
  if (scheduler_.contains(it->first)) scheduler_.remove(it->first);
  const Live live = std::move(it->second);
  live_.erase(it);
  try {
    Event event;
    event.kind = Event::Kind::kFailed;
    event.error = error;
    live.events->push(std::move(event));
  } catch (const std::bad_alloc&) {
    live.events->fail_out_of_memory();
  }
}

void EngineCore::fail_step(const Error& error) {
  for (const PlannedSequence& planned : plan_.sequences) {
    const auto it = live_.find(planned.id);
    if (it != live_.end()) fail(it, error);
  }
}

void EngineCore::fail_all(const Error& error) {
  while (!live_.empty()) fail(live_.begin(), error);
}

}  // namespace quern::engine
