// Who is admitted next: fair between shares (API keys), by priority and arrival within a share.
//
// Between shares: the one that has been served least goes first, in weighted tokens; one that comes
// back after a pause starts level with the least served of those present, so that nobody saves up.
// (Virtual token counter: Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024.)
// Within a share: the lowest priority number, then the oldest; but after kMaxPassed others of its
// share went before it, the oldest goes first. So nobody waits for ever.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "engine/kv/prefix_tree.h"
#include "engine/scheduler/step_plan.h"

namespace quern::engine {

class WaitQueue {
 public:
  static constexpr int kMaxPassed = 32;

  using ByPriority = std::set<std::pair<int32_t, SequenceId>>;
  using ByAge = std::set<SequenceId>;

  // A sequence's place in the queue. Owns the memory for it while the sequence is not in the queue,
  // so that only make_ticket() allocates.
  struct Ticket {
    SequenceId id = 0;
    ShareId share = 0;
    int32_t priority = 0;
    ByPriority::node_type by_priority;
    ByAge::node_type by_age;
  };
  static Ticket make_ticket(SequenceId id, ShareId share, int32_t priority);

  // A sequence of this share is there, waiting or running; it has gone.
  void enter(ShareId share);
  void leave(ShareId share);

  // Waits from now on; one that was preempted gets its old place. Precondition: entered.
  void push(Ticket& ticket);
  void erase(Ticket& ticket);
  std::optional<SequenceId> next() const;
  // next() is admitted.
  void pop(Ticket& ticket);

  void charge(ShareId share, double tokens);
  double served(ShareId share) const;
  int32_t size() const { return size_; }
  // Never allocates.
  void clear();

 private:
  struct Share {
    ByPriority by_priority;
    ByAge by_age;
    int passed = 0;       // admissions since the oldest became the oldest
    int32_t present = 0;  // waiting and running
    double served = 0;
  };

  const Share* least_served() const;

  // Shares are never forgotten while anybody is present; there are as many as keys.
  std::map<ShareId, Share> shares_;
  int32_t present_ = 0;
  int32_t size_ = 0;
};

}  // namespace quern::engine
