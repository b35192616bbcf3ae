// Two orders per share; the least served share is found by looking at all, as there are few.
#include "engine/scheduler/wait_queue.h"

#include <algorithm>

#include "config/base/check.h"

namespace quern::engine {

void WaitQueue::enter(ShareId id) {
  Share& share = shares_[id];
  if (share.present == 0) {
    bool others = false;
    double least = 0;
    for (const auto& [other, info] : shares_) {
      if (info.present == 0) continue;
      least = others ? std::min(least, info.served) : info.served;
      others = true;
    }
    if (others) share.served = std::max(share.served, least);
  }
  ++share.present;
  ++present_;
}

void WaitQueue::leave(ShareId id) {
  Share& share = shares_.at(id);
  CHECK(share.present > 0);
  --share.present;
  if (--present_ == 0) shares_.clear();  // a new start for all
}

WaitQueue::Ticket WaitQueue::make_ticket(SequenceId id, ShareId share, int32_t priority) {
  ByPriority by_priority = {{priority, id}};
  ByAge by_age = {id};
  return {id, share, priority, by_priority.extract(by_priority.begin()),
          by_age.extract(by_age.begin())};
}

void WaitQueue::push(Ticket& ticket) {
  Share& share = shares_.at(ticket.share);
  CHECK(!ticket.by_age.empty());
  const bool becomes_oldest = share.by_age.empty() || ticket.id < *share.by_age.begin();
  CHECK(share.by_priority.insert(std::move(ticket.by_priority)).inserted);
  CHECK(share.by_age.insert(std::move(ticket.by_age)).inserted);
  if (becomes_oldest) share.passed = 0;
  ++size_;
}

void WaitQueue::erase(Ticket& ticket) {
  Share& share = shares_.at(ticket.share);
  CHECK(ticket.by_age.empty() && !share.by_age.empty());
  const bool was_oldest = *share.by_age.begin() == ticket.id;
  ticket.by_priority = share.by_priority.extract({ticket.priority, ticket.id});
  ticket.by_age = share.by_age.extract(ticket.id);
  CHECK(!ticket.by_priority.empty() && !ticket.by_age.empty());
  if (was_oldest) share.passed = 0;
  --size_;
}

const WaitQueue::Share* WaitQueue::least_served() const {
  const Share* best = nullptr;
  for (const auto& [id, share] : shares_) {
    if (share.by_age.empty()) continue;
    // Among equals the one whose oldest came first.
    if (best == nullptr || share.served < best->served ||
        (share.served == best->served && *share.by_age.begin() < *best->by_age.begin())) {
      best = &share;
    }
  }
  return best;
}

std::optional<SequenceId> WaitQueue::next() const {
  const Share* share = least_served();
  if (share == nullptr) return std::nullopt;
  if (share->passed >= kMaxPassed) return *share->by_age.begin();
  return share->by_priority.begin()->second;
}

void WaitQueue::pop(Ticket& ticket) {
  Share& share = shares_.at(ticket.share);
  const bool was_oldest = *share.by_age.begin() == ticket.id;
  erase(ticket);
  if (!was_oldest) ++share.passed;
}

void WaitQueue::charge(ShareId share, double tokens) { shares_.at(share).served += tokens; }

double WaitQueue::served(ShareId share) const {
  const auto found = shares_.find(share);
  return found == shares_.end() ? 0 : found->second.served;
}

void WaitQueue::clear() {
  shares_.clear();
  present_ = 0;
  size_ = 0;
}

}  // namespace quern::engine
