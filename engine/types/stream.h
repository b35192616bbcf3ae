// What the engine gives back: the stream of one request's events, and counts of the whole engine.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/types/histogram.h"
#include "engine/types/request.h"

namespace quern::engine {

// Computed prompts on disk.
struct DiskStats {
  uint64_t pages_restored = 0;
  uint64_t pages_saved = 0;
  uint64_t pages_damaged = 0;  // failed their check and were removed
  uint64_t writes_failed = 0;
  uint64_t bytes = 0;
};

// Tokens of some steps, the time these took and the time they were predicted to take.
struct StepSpeed {
  uint64_t tokens = 0;
  double seconds = 0;
  double predicted_seconds = 0;  // 0: the machine was not measured

  double rate() const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
  double predicted_rate() const {
    return predicted_seconds > 0 ? static_cast<double>(tokens) / predicted_seconds : 0;
  }
};
struct ModelSpeed {
  StepSpeed prefill;
  StepSpeed decode;
};

// What requests experienced, as histograms. All but the first two are of requests that ended by
// themselves.
struct LatencyStats {
  DurationHistogram time_to_first_token_s;  // from being accepted
  GapHistogram token_gap_s;                 // from one token of an answer to the next
  DurationHistogram queue_s;                // from being accepted to the first step
  DurationHistogram total_s;
  CountHistogram prefill_rate;  // tokens of the prompt per second, those found computed left out
  CountHistogram decode_rate;   // tokens per second after the first
  CountHistogram prompt_tokens;
  CountHistogram completion_tokens;
};

// Where guesses of the next tokens come from: what followed the last 1, 2, 3 or 4 tokens before in
// the sequence, or the draft model.
inline constexpr std::array<std::string_view, 5> kGuessSources = {"match_1", "match_2", "match_3",
                                                                  "match_4", "draft_model"};

struct SpeculationStats {
  bool on = false;  // tokens are guessed ahead where that pays
  // Probability that a guessed token comes true: a moving average over all sequences, by source,
  // that each new sequence begins with and by which it is decided whether guessing pays. Nothing
  // where none was checked yet.
  std::array<std::optional<double>, kGuessSources.size()> acceptance;
  int32_t sequences = 0;  // that the last step checked guesses of
};

struct EngineStats {
  int32_t running = 0;
  int32_t queued = 0;
  int32_t kv_pages_total = 0;
  int32_t kv_pages_used = 0;  // by running sequences
  int32_t kv_pages_idle = 0;  // hold computed prompts, given up when they are needed
  uint64_t kv_page_bytes = 0;
  uint64_t draft_kv_bytes = 0;  // keys and values of the draft model
  uint64_t requests_accepted = 0;
  uint64_t requests_finished = 0;
  uint64_t requests_failed = 0;
  uint64_t requests_cancelled = 0;
  uint64_t prompt_tokens = 0;  // computed
  uint64_t cached_tokens = 0;  // of prompts, found computed
  uint64_t completion_tokens = 0;
  uint64_t drafted_tokens = 0;   // guessed ahead and checked
  uint64_t accepted_tokens = 0;  // of those, guessed right
  uint64_t steps = 0;
  uint64_t preemptions = 0;       // sequences that gave their pages up and were recomputed later
  uint64_t kv_pages_evicted = 0;  // computed prompts that were given up
  // How long a request that comes now would wait for its first step, as measured so far.
  double predicted_wait_ms = 0;
  SpeculationStats speculation;
  DiskStats disk;
  ModelSpeed speed;
  LatencyStats latency;
};

// The receiving end of one request; one reader thread. Destroying it cancels the request; the
// engine frees the sequence within one step. It may outlive the engine. A reader that leaves more
// than some megabytes of text waiting is failed (kCancelled), so that it never stalls the others.
class Stream {
 public:
  virtual ~Stream() = default;
  // The next event, or nothing when none came within `timeout`. After a kFinished or kFailed event
  // there are no more.
  virtual std::optional<Event> next(std::chrono::milliseconds timeout) = 0;
  // Ends the request early with kFinished and FinishReason::kCancelled. From any thread.
  virtual void cancel() = 0;
};

}  // namespace quern::engine
