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

// What a step may copy for the disk: about a millisecond.
constexpr uint64_t kSaveBytesPerStep = uint64_t{8} << 20;
constexpr double kAnswerBlend = 0.1;  // weight of the newest answer's length
// Sets of adapters that are told apart at once. Clients choose scales, so there is no end of them.
constexpr size_t kMaxAdapterSets = 1024;

TimePoint now() { return std::chrono::steady_clock::now(); }

// The last token is only reported, never computed.
int64_t max_positions(const Sequence& sequence) {
  return std::max(sequence.n_prompt(), sequence.max_tokens_in_all() - 1);
}

}  // namespace

Error too_late() {
  return Error(ErrorKind::kBusy,
               "the request did not finish within its time; ask for fewer tokens, allow more time "
               "or retry when less is running");
}

EngineCore::EngineCore(StepRunner& runner, const Budget& budget, int64_t n_vocab,
                       const CoreParts& parts)
    : runner_(&runner),
      store_(parts.store),
      speculator_(parts.speculator),
      turn_(parts.turn),
      n_vocab_(n_vocab),
      scheduler_(budget),
      sampler_(n_vocab) {
  streams_.reserve(static_cast<size_t>(budget.max_running));
  logits_.resize(static_cast<size_t>(budget.max_step_outputs) * static_cast<size_t>(n_vocab));
}

void EngineCore::accept(Submission submission) {
  if (!start_loading(submission)) accept_group(std::move(submission));
}

void EngineCore::accept_group(Submission submission) {
  std::vector<Submission> siblings = std::move(submission.siblings);
  std::optional<SequenceId> leader = accept_one(std::move(submission), std::nullopt);
  for (Submission& sibling : siblings) {
    const auto id = accept_one(std::move(sibling), leader);
    if (!leader) leader = id;
  }
}

// The sequence's number if it is in the scheduler now.
std::optional<SequenceId> EngineCore::accept_one(Submission submission,
                                                 std::optional<SequenceId> leader) {
  const SequenceId id = ++last_id_;
  const std::shared_ptr<EventQueue> events = submission.events;
  try {
    enqueue(id, std::move(submission), leader);
    if (scheduler_.contains(id)) return id;
  } catch (const std::bad_alloc&) {
    const auto it = live_.find(id);
    if (it != live_.end()) {
      fail_for_memory(it);
    } else {
      ++counters_.failed;
      events->fail_out_of_memory();
    }
  }
  return std::nullopt;
}

// As many as there are API keys, which the configuration bounds.
ShareId EngineCore::share_of(const std::string& name) {
  const auto next = static_cast<ShareId>(shares_.size());
  return shares_.try_emplace(name, next).first->second;
}

// A number is never used for two sets. When there are too many sets all are numbered anew, and what
// was computed under the old numbers is not found again.
uint64_t EngineCore::adapter_set_of(const std::vector<AdapterUse>& adapters) {
  if (adapters.empty()) return 0;
  if (const auto found = adapter_sets_.find(adapters); found != adapter_sets_.end()) {
    return found->second;
  }
  if (adapter_sets_.size() >= kMaxAdapterSets) adapter_sets_.clear();
  return adapter_sets_.emplace(adapters, ++last_adapter_set_).first->second;
}

PromptSpace EngineCore::space_of(const Request& request) {
  return {share_of(request.share), adapter_set_of(request.adapters)};
}

void EngineCore::enqueue(SequenceId id, Submission submission, std::optional<SequenceId> leader) {
  const Sequence& sequence = *submission.sequence;
  const auto it =
      live_
          .emplace(id, Live{std::move(submission.sequence), std::move(submission.events), Event{},
                            0, std::move(submission.page_names)})
          .first;
  const bool prompt_only = !sequence.wants_tokens();
  if (prompt_only && !sequence.request().prompt_logprobs) {
    finish(it, FinishReason::kLength);
    return;
  }
  NewSequence entry;
  entry.id = id;
  entry.tokens = sequence.tokens();
  entry.max_positions = max_positions(sequence);
  entry.first_output = sequence.request().prompt_logprobs ? 0 : sequence.n_prompt() - 1;
  entry.share = share_of(sequence.request().share);
  entry.priority = sequence.request().priority;
  entry.leader = leader;
  entry.adapters = adapter_set_of(sequence.request().adapters);
  const Status added = scheduler_.add(entry);
  if (!added.ok()) {
    fail(it, added.error());
  } else if (grammar::Matcher* matcher = it->second.sequence->matcher()) {
    matcher->prefetch(mask_worker_);  // while the prompt is computed
  }
}

void EngineCore::step() {
  plan_ = StepPlan();
  bool planned = false;
  try {
    sweep();
    if (store_ != nullptr) {
      take_loaded();
      save_some(kSaveBytesPerStep);
    }
    if (live_.empty()) return;
    const TimePoint asked = now();
    StepTurn::Held turn(turn_);
    const TimePoint begin = now();
    const std::span<const Speculation> drafts = make_drafts();
    const TimePoint drafted = now();
    plan_ = scheduler_.plan(meter_.costs(), drafts);
    planned = true;
    run_step(turn);
    // What drafts take is weighed on its own (choose_draft_lengths).
    const auto taken = (begin - asked) + (now() - drafted);
    meter_.note(plan_, std::chrono::duration<double, std::nano>(taken).count());
  } catch (const std::bad_alloc&) {
    if (!planned) {
      fail_all_for_memory();
      return;
    }
    for (const PlannedSequence& one : plan_.sequences) {
      const auto it = live_.find(one.id);
      if (it != live_.end()) fail_for_memory(it);
    }
  }
}

void EngineCore::sweep() {
  const TimePoint time = now();
  sweep_loading(time);
  for (auto it = live_.begin(); it != live_.end();) {
    const auto next = std::next(it);
    const auto& deadline = it->second.sequence->request().deadline;
    if (it->second.events->cancelled()) {
      finish(it, FinishReason::kCancelled);
    } else if (deadline && time >= *deadline) {
      fail(it, too_late());
    }
    it = next;
  }
}

// Work that is ahead, at the measured rates. Answers count as long as answers were so far.
double EngineCore::predicted_wait_ns() const {
  if (scheduler_.n_waiting() == 0) return 0;
  const StepCosts& costs = meter_.costs();
  const int32_t batch = scheduler_.budget().max_running;
  const double token_ns = costs.decode_step_ns(batch) / batch;
  double total = 0;
  for (const auto& [id, live] : live_) {
    const Sequence& sequence = *live.sequence;
    const auto n_tokens = static_cast<int64_t>(sequence.tokens().size());
    const int64_t computed = scheduler_.n_computed(id);
    if (computed < sequence.n_prompt()) {
      total += costs.prompt_ns(sequence.n_prompt() - computed, computed);
    }
    const auto expected = static_cast<int64_t>(mean_answer_);
    const int64_t last = std::min(sequence.max_tokens_in_all(), sequence.n_prompt() + expected);
    total += static_cast<double>(std::max<int64_t>(last - n_tokens, 1)) * token_ns;
  }
  return total;
}

std::map<std::string, int32_t, std::less<>> EngineCore::waiting_by_share() const {
  std::map<std::string, int32_t, std::less<>> out;
  const std::map<ShareId, int32_t> waiting = scheduler_.waiting_by_share();
  for (const auto& [name, share] : shares_) {
    const auto found = waiting.find(share);
    if (found != waiting.end()) out[name] = found->second;
  }
  for (const auto& [ticket, loading] : loading_) {
    const int32_t n = 1 + static_cast<int32_t>(loading.group.siblings.size());
    out[loading.group.sequence->request().share] += n;
  }
  return out;
}

// Gives the turn back as soon as the model has computed.
void EngineCore::run_step(StepTurn::Held& turn) {
  // The oldest sequence can always run, see Scheduler.
  CHECK(!plan_.empty());
  ++counters_.steps;
  counters_.preemptions += plan_.preempted.size();
  const Status ran = run_model();
  turn.release();
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
    sources_.push_back({sequence.tokens(), scheduler_.pages(planned.id), draft_of(planned),
                        sequence.request().adapters});
  }
  for (const PageCopy& copy : plan_.copies) runner_->copy_page(copy.from, copy.to);
  const ops::StepInputs inputs = builder_.build(plan_, sources_);
  const size_t n_logits = inputs.outputs.size() * static_cast<size_t>(n_vocab_);
  return runner_->run(inputs, std::span(logits_).first(n_logits));
}

// Rows of one sequence, in order of position: of the prompt first, then the one that the next token
// is drawn from and those of a draft behind it.
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
      scheduler_.distrust(it->first);
      fail(it, taken.error());
      return;
    }
    CHECK(i + 1 + planned.n_drafted == planned.n_outputs);
    const bool ends_prompt = position + 1 == live.sequence->n_prompt();
    if (ends_prompt && !live.sequence->shifted()) finish_prompt(it, row);
    draw_drafted(planned, rows.subspan(static_cast<size_t>(i) * width));  // may end the sequence
    return;
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

// The prompt's last logits are there: those who wait for this prompt draw from them too.
void EngineCore::finish_prompt(LiveMap::iterator it, std::span<const float> row) {
  Live& live = it->second;
  live.n_cached = scheduler_.n_cached(it->first);
  const int64_t n_prompt = live.sequence->n_prompt();
  counters_.prompt_tokens += static_cast<uint64_t>(n_prompt - live.n_cached);
  counters_.cached_tokens += static_cast<uint64_t>(live.n_cached);
  const auto waiting = scheduler_.followers(it->first);
  const std::vector<SequenceId> followers(waiting.begin(), waiting.end());
  for (const SequenceId id : followers) {
    const auto follower = live_.find(id);
    CHECK(follower != live_.end());
    follower->second.prompt_piece = live.prompt_piece;
    follower->second.n_cached = n_prompt;
    follower->second.sequence->note_step(now());
    counters_.cached_tokens += static_cast<uint64_t>(n_prompt);
    scheduler_.fork(id);
    row_copy_.assign(row.begin(), row.end());
    draw(follower, row_copy_);
  }
  note_prompt(live);
}

// Draws the next token and returns it if the sequence goes on. `guess`: what has been computed in
// its place already.
std::optional<TokenId> EngineCore::draw(LiveMap::iterator it, std::span<float> row,
                                        std::optional<TokenId> guess) {
  Live& live = it->second;
  Sequence& sequence = *live.sequence;
  const bool first =
      !sequence.shifted() && static_cast<int64_t>(sequence.tokens().size()) == sequence.n_prompt();
  if (first && sequence.request().prompt_logprobs &&
      !deliver(it, std::exchange(live.prompt_piece, {}))) {
    return std::nullopt;
  }
  if (!sequence.wants_tokens()) {
    finish(it, FinishReason::kLength);
    return std::nullopt;
  }
  Result<Sample> drawn = sample(sequence, row);
  if (!drawn.ok()) {
    if (drawn.error().kind() == ErrorKind::kInternal) scheduler_.distrust(it->first);
    fail(it, drawn.error());
    return std::nullopt;
  }
  const TokenId token = drawn->token;
  ++counters_.completion_tokens;
  if (token == guess) ++counters_.accepted_tokens;
  Event piece;
  const TimePoint drawn_at = now();
  note_token(sequence, first, drawn_at);
  const auto reason = sequence.accept(token, std::move(drawn->logprob), drawn_at, piece);
  const bool visible = !piece.text.empty() || !piece.tokens.empty();
  if (visible && !deliver(it, std::move(piece))) return std::nullopt;
  if (reason) {
    finish(it, *reason);
    return std::nullopt;
  }
  if (sequence.must_shift()) {
    shift(it);
    return std::nullopt;
  }
  if (token == guess) {
    scheduler_.confirm_token(it->first, token);
    return token;
  }
  scheduler_.append_token(it->first, token);
  // While the model computes the next step.
  if (sequence.matcher() != nullptr) sequence.matcher()->prefetch(mask_worker_);
  return token;
}

// The context is full: the sequence goes on with what is left of it, computed anew. What was
// guessed ahead is void.
void EngineCore::shift(LiveMap::iterator it) {
  Sequence& sequence = *it->second.sequence;
  sequence.shift();
  scheduler_.restart(it->first, sequence.tokens(), max_positions(sequence));
  if (speculator_ != nullptr) speculator_->forget(it->first);
  if (sequence.matcher() != nullptr) sequence.matcher()->prefetch(mask_worker_);
}

// Before the sequence hears of the token.
void EngineCore::note_token(const Sequence& sequence, bool first, TimePoint time) {
  if (first) {
    latency_.note_first_token(sequence.accepted_at(), time);
  } else {
    latency_.note_next_token(sequence.last_token_at(), time);
  }
}

// Draws the next token and tells the grammar.
Result<Sample> EngineCore::sample(Sequence& sequence, std::span<float> row) {
  SampleInput input{row, sequence.tokens(), sequence.tokens().size(),
                    sequence.request().top_logprobs};
  input.memory = &sequence.sample_memory();
  grammar::Matcher* matcher = sequence.matcher();
  if (matcher == nullptr) return sampler_.sample(input, sequence.request().sampling);
  QUERN_ASSIGN_OR_RETURN(const std::shared_ptr<const grammar::TokenMask> mask, matcher->mask());
  input.permitted = mask->bits;
  QUERN_ASSIGN_OR_RETURN(Sample drawn, sampler_.sample(input, sequence.request().sampling));
  QUERN_RETURN_IF_ERROR(matcher->accept(drawn.token));
  return drawn;
}

bool EngineCore::deliver(LiveMap::iterator it, Event piece) {
  if (it->second.events->push(std::move(piece))) return true;
  fail(it, Error(ErrorKind::kCancelled,
                 "the client reads too slowly: the buffer of its answer is full"));
  return false;
}

void EngineCore::leave(SequenceId id) {
  if (scheduler_.contains(id)) scheduler_.remove(id);
  if (speculator_ != nullptr) speculator_->forget(id);
}

void EngineCore::finish(LiveMap::iterator it, FinishReason reason) {
  ++(reason == FinishReason::kCancelled ? counters_.cancelled : counters_.finished);
  leave(it->first);
  const Live live = std::move(it->second);
  live_.erase(it);
  try {
    Event event = live.sequence->finished(reason, now());
    event.usage.cached_tokens = live.n_cached;
    if (reason != FinishReason::kCancelled) {
      latency_.note_finished(event);
      const auto length = static_cast<double>(event.usage.completion_tokens);
      mean_answer_ += kAnswerBlend * (length - mean_answer_);
    }
    live.events->push(std::move(event));
  } catch (const std::bad_alloc&) {
    live.events->fail_out_of_memory();
  }
}

void EngineCore::fail(LiveMap::iterator it, const Error& error) {
  ++counters_.failed;
  leave(it->first);
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

// Where there is no memory for an error either.
void EngineCore::fail_for_memory(LiveMap::iterator it) noexcept {
  ++counters_.failed;
  leave(it->first);
  const std::shared_ptr<EventQueue> events = std::move(it->second.events);
  live_.erase(it);
  events->fail_out_of_memory();
}

// Also when a plan was only half made, which the scheduler is freed of.
void EngineCore::fail_all_for_memory() noexcept {
  for (const auto& [ticket, loading] : loading_) {
    for (const Submission& sibling : loading.group.siblings) sibling.events->fail_out_of_memory();
    loading.group.events->fail_out_of_memory();
    counters_.failed += 1 + loading.group.siblings.size();
  }
  loading_.clear();
  while (!live_.empty()) fail_for_memory(live_.begin());
  scheduler_.clear();
}

void EngineCore::fail_step(const Error& error) {
  for (const PlannedSequence& planned : plan_.sequences) {
    const auto it = live_.find(planned.id);
    if (it != live_.end()) fail(it, error);
  }
}

void EngineCore::fail_all(const Error& error) {
  for (const auto& [ticket, loading] : loading_) {
    for (const Submission& sibling : loading.group.siblings) end_unstarted(sibling, error);
    end_unstarted(loading.group, error);
  }
  loading_.clear();
  while (!live_.empty()) fail(live_.begin(), error);
}

}  // namespace quern::engine
