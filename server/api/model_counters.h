// What a model's engines have counted, over all the times the model was loaded: a counter that fell
// back to nothing with each unload would hide what happened before.
#pragma once

#include <mutex>

#include "engine/run/engine.h"
#include "engine/types/stream.h"

namespace quern::api {

// Adds the counters and histograms of `from`, and no gauge.
void add_counters(engine::EngineStats& to, const engine::EngineStats& from);

// Thread-safe.
class ModelCounters {
 public:
  // From now on until detach(), what this engine says counts too.
  void attach(const engine::Engine& engine);
  void detach();
  // Counters of all engines so far; gauges of the attached one, or 0.
  engine::EngineStats get() const;

 private:
  mutable std::mutex mutex_;
  engine::EngineStats gone_;  // sums over engines that are gone
  const engine::Engine* engine_ = nullptr;
};

}  // namespace quern::api
