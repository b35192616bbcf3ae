// Request checks; every message names the field and its range.
#include "engine/run/admission.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/grammar/constraint.h"
#include "engine/sample/logprobs.h"
#include "engine/sample/sampler.h"
#include "engine/sequence/stop_matcher.h"

namespace quern::engine {
namespace {

Status validate_prompt(const Request& request, const AdmissionLimits& limits) {
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  if (n_prompt == 0) {
    return Error(ErrorKind::kInvalidInput,
                 "the prompt has no tokens and this model has no token that begins a text; send at "
                 "least one character");
  }
  const int64_t wanted = n_prompt + (request.max_tokens == 0 ? 0 : 1);
  if (wanted > limits.context_tokens) {
    return Error(ErrorKind::kContextOverflow,
                 "the prompt has " + std::to_string(n_prompt) + " tokens, the context holds " +
                     std::to_string(limits.context_tokens) +
                     " and must leave room for an answer; shorten the prompt or serve the model "
                     "with a larger context");
  }
  const auto outside = std::find_if(request.prompt.begin(), request.prompt.end(),
                                    [&](TokenId id) { return id < 0 || id >= limits.n_vocab; });
  if (outside != request.prompt.end()) {
    return Error(ErrorKind::kInvalidInput,
                 "prompt token " + std::to_string(outside - request.prompt.begin()) + " is " +
                     std::to_string(*outside) + "; the vocabulary has ids 0 to " +
                     std::to_string(limits.n_vocab - 1));
  }
  return ok_status();
}

Status validate_adapters(const Request& request, const AdmissionLimits& limits) {
  int32_t before = -1;
  for (const AdapterUse& use : request.adapters) {
    if (use.adapter < 0 || use.adapter >= limits.n_adapters) {
      return Error(ErrorKind::kInvalidInput,
                   "there is no adapter number " + std::to_string(use.adapter) +
                       "; the model is served with " + std::to_string(limits.n_adapters) +
                       " adapters, counted from 0");
    }
    if (use.adapter <= before) {
      return Error(ErrorKind::kInvalidInput, "adapter number " + std::to_string(use.adapter) +
                                                 " is named twice or out of order; name each "
                                                 "once, ascending");
    }
    before = use.adapter;
    if (!(std::fabs(use.scale) <= kMaxAdapterScale)) {
      return Error(ErrorKind::kInvalidInput,
                   "the scale of adapter number " + std::to_string(use.adapter) + " is " +
                       std::to_string(use.scale) + "; it must be from -1000 to 1000");
    }
  }
  return ok_status();
}

}  // namespace

Status validate_request(const Request& request, const AdmissionLimits& limits) {
  QUERN_RETURN_IF_ERROR(validate_prompt(request, limits));
  if (request.max_tokens < -1) {
    return Error(ErrorKind::kInvalidInput, "max_tokens is " + std::to_string(request.max_tokens) +
                                               "; it must be -1 (no limit), 0 or more");
  }
  // What is kept leaves at least half of the context, so that a shift is not due at every token.
  if (request.shift_keep &&
      (*request.shift_keep < 0 || *request.shift_keep > limits.context_tokens / 2)) {
    return Error(ErrorKind::kInvalidInput,
                 "a context shift is to keep the first " + std::to_string(*request.shift_keep) +
                     " tokens; it must be from 0 to " + std::to_string(limits.context_tokens / 2) +
                     ", half of the context");
  }
  if (request.top_logprobs &&
      (*request.top_logprobs < 0 || *request.top_logprobs > kMaxTopLogprobs)) {
    return Error(ErrorKind::kInvalidInput,
                 "top_logprobs is " + std::to_string(*request.top_logprobs) +
                     "; it must be from 0 to " + std::to_string(kMaxTopLogprobs));
  }
  if (request.constraint && request.sampling.ignore_end_of_generation) {
    return Error(ErrorKind::kInvalidInput,
                 "a grammar decides where the answer ends, so the end of generation cannot be "
                 "ignored as well; leave one of the two out");
  }
  if (request.constraint && request.constraint->trie().n_vocab() > limits.n_vocab) {
    return Error(ErrorKind::kInvalidInput,
                 "the grammar was compiled for another vocabulary than this model's; compile it "
                 "for this one");
  }
  QUERN_RETURN_IF_ERROR(validate_adapters(request, limits));
  QUERN_RETURN_IF_ERROR(validate_stop_strings(request.stop));
  return validate_sampling(request.sampling, limits.n_vocab);
}

}  // namespace quern::engine
