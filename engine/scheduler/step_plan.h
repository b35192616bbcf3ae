// What the next run of the model computes. Plain data, made by the Scheduler.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/kv/page_table.h"

namespace quern::engine {

// Given by the engine in order of arrival; never reused.
using SequenceId = uint64_t;

struct PlannedSequence {
  SequenceId id = 0;
  int64_t first_position = 0;
  int32_t n_tokens = 0;   // at least 1
  int32_t n_outputs = 0;  // logits are wanted for the last n_outputs of them
  // Of n_tokens, the last ones: a draft, tokens that may turn out not to follow (Speculation).
  int32_t n_drafted = 0;
};

// A sequence that generates could have this many drafted tokens checked beside its next one.
struct Speculation {
  SequenceId id = 0;
  int32_t n_tokens = 0;
};

struct StepPlan {
  // To be made in this order, before anything is computed.
  std::vector<PageCopy> copies;
  std::vector<PlannedSequence> sequences;
  int32_t n_tokens = 0;
  int32_t n_outputs = 0;
  int32_t n_decodes = 0;  // of `sequences`, the first ones: one token after those drawn so far
  int32_t n_drafted = 0;  // of n_tokens; 0 when there are prompts
  // Sequences that lost their pages to others; they wait again and recompute later.
  std::vector<SequenceId> preempted;

  bool empty() const { return sequences.empty(); }
};

}  // namespace quern::engine
