// What the engine may do to guess tokens ahead. No choice changes a byte of an answer.
#pragma once

#include <cstdint>
#include <memory>

#include "models/loader/model.h"

namespace quern::engine {

struct SpeculationOptions {
  bool lookup = false;  // guess from what the sequence said before
  // Guesses too; its vocabulary must be the model's. Null: none.
  std::shared_ptr<const loader::Model> draft_model = nullptr;
  int32_t max_tokens = 8;  // guessed at once
  bool adaptive = true;    // SpeculatorOptions::adaptive

  bool on() const { return lookup || draft_model != nullptr; }
};

}  // namespace quern::engine
