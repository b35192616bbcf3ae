// What must hold between two calls of the Scheduler. Tests and the simulator ask after each step.
#include <algorithm>

#include "engine/scheduler/scheduler.h"

namespace quern::engine {

std::optional<std::string> Scheduler::check_entry(SequenceId id, const Entry& found) const {
  const std::string name = "sequence " + std::to_string(id);
  const bool running = found.state == State::kRunning;
  if (!running && (!found.pages.pages().empty() || found.n_computed != 0)) {
    return name + " waits and holds pages";
  }
  if (found.n_computed > found.n_tokens() || found.n_tokens() > found.max_positions) {
    return name + " counts more tokens than it has";
  }
  if (found.n_computed > found.pages.capacity()) return name + " lacks pages";
  const int64_t most = pages_for(found.n_tokens() + found.n_drafted, budget_.page_tokens);
  if (static_cast<int64_t>(found.pages.pages().size()) > most) {
    return name + " holds pages that it has no tokens for";
  }
  if (running != std::binary_search(running_.begin(), running_.end(), id)) {
    return name + " is in the wrong queue";
  }
  for (const SequenceId follower : found.followers) {
    const Entry& held = entry(follower);
    if (held.state != State::kHeld || held.leader != id) return name + " has a false follower";
  }
  if (found.state == State::kHeld && std::count(entry(found.leader).followers.begin(),
                                                entry(found.leader).followers.end(), id) != 1) {
    return name + " is held by nobody";
  }
  // What comes after the computed part is going to be written.
  const auto written = static_cast<size_t>(pages_for(found.n_computed, budget_.page_tokens));
  const auto pages = found.pages.pages();
  for (size_t i = written; i < pages.size(); ++i) {
    if (pool_.reference_count(pages[i]) != 1 || pool_.kept(pages[i])) {
      return name + " shares a page that it is going to write";
    }
  }
  return std::nullopt;
}

std::optional<std::string> Scheduler::check_integrity() const {
  std::vector<PageId> held;
  int32_t n_waiting = 0;
  for (const auto& [id, found] : entries_) {
    if (auto wrong = check_entry(id, found)) return wrong;
    const auto pages = found.pages.pages();
    held.insert(held.end(), pages.begin(), pages.end());
    n_waiting += found.state == State::kWaiting ? 1 : 0;
  }
  if (n_waiting != queue_.size()) return "the queue does not hold what waits";
  if (n_running() > budget_.max_running) return "too many sequences run";
  if (!std::is_sorted(running_.begin(), running_.end())) return "running sequences out of order";
  if (pool_.n_idle() > budget_.max_idle_pages) return "more pages are idle than allowed";
  if (auto wrong = tree_.check_integrity()) return wrong;
  return pool_.check_integrity(held);
}

}  // namespace quern::engine
