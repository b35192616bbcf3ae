// What a client asks of the engine and what comes back: plain structs, no HTTP, no JSON.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/base/result.h"
#include "kernels/ops/ops.h"

namespace quern::grammar {
class Constraint;  // engine/grammar/constraint.h
}  // namespace quern::grammar

namespace quern::engine {

using TokenId = int32_t;

// Sampling knobs; each at its neutral value does nothing. Ranges are checked by the front door
// (server/api) and again by validate_sampling().
struct SamplingParams {
  float temperature = 0.8f;         // 0: greedy
  int32_t top_k = 0;                // 0: off
  float top_p = 1.0f;               // 1: off
  float min_p = 0.0f;               // 0: off
  float typical_p = 1.0f;           // 1: off
  float repetition_penalty = 1.0f;  // 1: off; divides positive and multiplies negative logits
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int32_t penalty_window = 64;  // last tokens (prompt included) looked at; -1: all, 0: none
  float top_n_sigma = 0.0f;     // 0 or less: off
  // Don't repeat yourself: see engine/sample/dry.h.
  float dry_multiplier = 0.0f;  // 0: off
  float dry_base = 1.75f;
  int32_t dry_allowed_length = 2;         // tokens that may be repeated for nothing
  int32_t dry_window = -1;                // as penalty_window
  std::vector<std::string> dry_breakers;  // empty: kUsualDryBreakers
  // Exclude top choices: see engine/sample/stages.cc.
  float xtc_probability = 0.0f;  // 0: off
  float xtc_threshold = 0.1f;
  // The temperature moves by as much either way, with the entropy. 0: it stays.
  float dynatemp_range = 0.0f;
  float dynatemp_exponent = 1.0f;
  int32_t mirostat = 0;  // 1 or 2: takes the place of all stages that drop tokens; see mirostat.h
  float mirostat_tau = 5.0f;  // bits of surprise per token that are aimed at
  float mirostat_eta = 0.1f;
  // Which stages run, in this order: indexes into sampler_stages(). Empty: all, in theirs.
  std::vector<uint8_t> stages;
  uint64_t seed = 0;  // draws are keyed by (seed, position), so scheduling cannot change them
  // Added to the logits, -1000 to 1000; -infinity bans the token.
  std::vector<std::pair<TokenId, float>> logit_bias;
  bool ignore_end_of_generation = false;
};

// A low-rank adapter of the model, in the order of EngineOptions::adapters, and how strongly it is
// to work; 0: not at all.
using ops::AdapterUse;

struct Request {
  std::string id;               // for logs; unique per process
  std::vector<TokenId> prompt;  // at least one token; BOS already there if wanted
  SamplingParams sampling;
  // Tokens to generate; -1: until the context is full; 0: none (with prompt_logprobs the prompt is
  // still computed). A prompt that fits but leaves less room than this ends with kLength when the
  // context is full.
  int64_t max_tokens = -1;
  // What happens when the context is full. A number: the oldest half of the tokens behind the first
  // this many is dropped, the rest is computed anew and the answer goes on, see Sequence::shift().
  // Nothing: the answer ends with kLength.
  std::optional<int64_t> shift_keep;
  std::vector<std::string> stop;  // UTF-8, not empty; never part of the output
  // Alternatives reported per generated token; nothing: no logprobs.
  std::optional<int32_t> top_logprobs;
  // Log-probabilities of the prompt's own tokens too (completions with echo).
  bool prompt_logprobs = false;
  // Whose request it is: requests of one share use each other's computed prompts, and the shares
  // get equal parts of the machine. Empty when there is one API key or none.
  std::string share;
  int32_t priority = 0;  // lower goes first within its share
  // When it is not finished by then, it fails.
  std::optional<std::chrono::steady_clock::time_point> deadline;
  // The model is computed with these added, ascending, each once. Sequences with different ones run
  // in the same steps; a prompt computed with others is not reused.
  std::vector<AdapterUse> adapters;
  // What the answer's text must match, or null. Made for this model's vocabulary. The answer ends
  // where nothing can follow; one that ends by length is a beginning of such a text.
  std::shared_ptr<const grammar::Constraint> constraint;
};

// kStop: an end-of-generation token or a stop string, also when the same token reached the limit.
// kLength: max_tokens or the context is used up. kError is the front door's name for kFailed.
enum class FinishReason : uint8_t { kStop, kLength, kCancelled, kError };

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
  std::vector<std::pair<TokenId, float>> top;  // descending
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, not computed anew
  // Every token drawn: also the end-of-generation token and tokens of a stop string, which no event
  // shows.
  int64_t completion_tokens = 0;
  int64_t shifts = 0;          // how often the context was full and went on
  int64_t shifted_tokens = 0;  // dropped by them
};

// Nanoseconds on the steady clock.
struct Timings {
  int64_t queue_ns = 0;    // accepted to first step
  int64_t prefill_ns = 0;  // first step to first token
  int64_t decode_ns = 0;   // first token to last
  int64_t total_ns = 0;
};

// A piece of the answer. Text is valid UTF-8 and never holds part of a stop string; several tokens
// may share a piece when text had to be held back.
struct Event {
  enum class Kind : uint8_t { kText, kFinished, kFailed } kind = Kind::kText;
  // kText; text may be empty. A token comes with the piece that completes its text.
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> logprobs;  // one per token of `tokens`, if top_logprobs was given
  // Once per request, if asked for: of the prompt's tokens from the second on (the first has none).
  // Comes before or with the first generated token.
  std::vector<TokenLogprob> prompt_logprobs;
  // kFinished: exactly one per request unless it failed; usage and timings are final.
  FinishReason reason = FinishReason::kStop;
  std::string matched_stop;  // the stop string that ended it, or empty
  Usage usage;
  Timings timings;
  // kFailed: exactly one per request unless it finished.
  std::optional<Error> error;
};

}  // namespace quern::engine
