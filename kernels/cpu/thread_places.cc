#include "kernels/cpu/thread_places.h"

#include "config/hardware/topology.h"

namespace quern::cpu {

ThreadPlaces::ThreadPlaces(Pinning pinning, int n_threads)
    : allowed_(hardware::allowed_processors()) {
  if (pinning == Pinning::kOff) return;
  const auto processors = hardware::read_topology("/sys", allowed_);
  const std::vector<int> nodes = hardware::nodes_of(processors);
  if (pinning == Pinning::kAuto && nodes.size() == 1) return;
  nodes_ = nodes;
  places_ = hardware::place_threads(processors, n_threads);
}

std::string ThreadPlaces::to_string() const {
  std::string text = "bound to processors";
  for (const int place : places_) text.append(" ").append(std::to_string(place));
  return text;
}

void ThreadPlaces::bind(int worker) const {
  if (!bound()) return;
  const int place = places_[static_cast<size_t>(worker)];
  (void)hardware::bind_this_thread(std::span(&place, 1));  // without it, the system chooses
}

void ThreadPlaces::release() const {
  if (bound()) (void)hardware::bind_this_thread(allowed_);
}

}  // namespace quern::cpu
