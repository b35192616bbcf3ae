// What requests experienced: the histograms behind /metrics. Belongs to the engine's thread; a
// token costs one look-up in a table of bounds.
#pragma once

#include "engine/sequence/sequence.h"
#include "engine/types/request.h"
#include "engine/types/stream.h"

namespace quern::engine {

class LatencyMeter {
 public:
  // A token was drawn at `now`: the first of its answer since `accepted`, or the next one since
  // `before`.
  void note_first_token(TimePoint accepted, TimePoint now);
  void note_next_token(TimePoint before, TimePoint now);
  // A request ended by itself; those whose client left say nothing about the server.
  void note_finished(const Event& event);

  const LatencyStats& stats() const { return stats_; }

 private:
  LatencyStats stats_;
};

}  // namespace quern::engine
