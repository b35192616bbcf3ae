#include "kernels/cpu/step_layout.h"

#include <algorithm>
#include <limits>

namespace quern::cpu {

Status StepLayout::set(const ops::StepInputs& inputs) {
  sequences_.assign(inputs.sequences.begin(), inputs.sequences.end());
  positions_.clear();
  last_position_ = 0;
  slots_page_tokens_ = 0;
  tiles_tokens_ = 0;
  for (const ops::SequenceSlice& slice : sequences_) {
    const bool in_order = slice.first_token == static_cast<int64_t>(positions_.size());
    const int64_t end = int64_t{slice.first_position} + slice.n_tokens;
    if (!in_order || slice.n_tokens < 1 || slice.first_position < 0 ||
        end > std::numeric_limits<int32_t>::max()) {
      return Error(ErrorKind::kInternal,
                   "The sequences of a step must cover its tokens in order; this is a defect of "
                   "the batch builder.");
    }
    for (int32_t i = 0; i < slice.n_tokens; ++i) positions_.push_back(slice.first_position + i);
    last_position_ = std::max(last_position_, positions_.back());
  }
  if (positions_.size() != inputs.tokens.size()) {
    return Error(ErrorKind::kInternal, "The sequences of a step cover " +
                                           std::to_string(positions_.size()) + " of its " +
                                           std::to_string(inputs.tokens.size()) +
                                           " tokens; this is a defect of the batch builder.");
  }
  return ok_status();
}

const std::vector<KvSlot>& StepLayout::slots(int32_t page_tokens) {
  CHECK(page_tokens > 0);
  if (page_tokens == slots_page_tokens_) return slots_;
  slots_page_tokens_ = page_tokens;
  slots_.clear();
  for (const ops::SequenceSlice& slice : sequences_) {
    const int32_t last = slice.first_position + slice.n_tokens - 1;
    CHECK(static_cast<size_t>(last / page_tokens) < slice.pages.size());
    for (int32_t p = slice.first_position; p <= last; ++p) {
      slots_.push_back({slice.pages[static_cast<size_t>(p / page_tokens)], p % page_tokens});
    }
  }
  return slots_;
}

const std::vector<TokenTile>& StepLayout::tiles(int32_t tile_tokens) {
  if (tile_tokens == tiles_tokens_) return tiles_;
  tiles_tokens_ = tile_tokens;
  tiles_.clear();
  for (const ops::SequenceSlice& slice : sequences_) {
    for (int32_t i = 0; i < slice.n_tokens; i += tile_tokens) {
      tiles_.push_back({slice.first_token + i, std::min(tile_tokens, slice.n_tokens - i),
                        slice.first_position + i, slice.pages.data()});
    }
  }
  return tiles_;
}

}  // namespace quern::cpu
