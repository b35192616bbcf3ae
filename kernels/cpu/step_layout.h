// The tokens of a step seen three ways: positions, places in the KV pages, tiles for attention.
#pragma once

#include <cstdint>
#include <vector>

#include "config/base/result.h"
#include "kernels/cpu/kernel_types.h"
#include "kernels/ops/ops.h"

namespace quern::cpu {

class StepLayout {
 public:
  // Error: the sequences do not cover the tokens in order, or a position is negative or too large.
  // The spans of `inputs` must outlive the step.
  Status set(const ops::StepInputs& inputs);

  int64_t n_tokens() const { return static_cast<int64_t>(positions_.size()); }
  const std::vector<int32_t>& positions() const { return positions_; }
  // The largest position of any token.
  int32_t last_position() const { return last_position_; }
  // Page and offset of every token. A sequence with too few pages is a programmer error.
  const std::vector<KvSlot>& slots(int32_t page_tokens);
  // The sequences cut into pieces of at most `tile_tokens` tokens.
  const std::vector<TokenTile>& tiles(int32_t tile_tokens);

 private:
  std::vector<ops::SequenceSlice> sequences_;
  std::vector<int32_t> positions_;
  int32_t last_position_ = 0;
  int32_t slots_page_tokens_ = 0;
  std::vector<KvSlot> slots_;
  int32_t tiles_tokens_ = 0;
  std::vector<TokenTile> tiles_;
};

}  // namespace quern::cpu
