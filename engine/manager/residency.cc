// Who stays and who goes: see residency.h.
#include "engine/manager/residency.h"

#include <algorithm>

#include "config/base/check.h"

namespace quern::engine {
namespace {

using TimePoint = Residency::TimePoint;

TimePoint after(TimePoint now, std::chrono::nanoseconds time) {
  return time >= TimePoint::max() - now ? TimePoint::max() : now + time;
}

}  // namespace

Residency::Residency(std::span<const uint64_t> bytes, uint64_t budget_bytes, KeepAlive keep_alive,
                     std::chrono::nanoseconds patience)
    : slots_(bytes.size()),
      predicted_(bytes.begin(), bytes.end()),
      budget_(budget_bytes),
      keep_alive_(keep_alive),
      patience_(patience) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].bytes = predicted_[i];
    slots_[i].keep_alive = keep_alive_;
  }
}

bool Residency::try_use(size_t index) {
  Slot& slot = slots_[index];
  if (slot.stage != Stage::kReady || slot.closed || slot.broken) return false;
  ++slot.users;
  return true;
}

bool Residency::try_hold(size_t index) {
  Slot& slot = slots_[index];
  if (slot.stage != Stage::kReady) return false;
  ++slot.users;
  return true;
}

void Residency::wait(size_t index, Waiting& waiting, TimePoint now) {
  CHECK(fits(index));
  waiting.since = now;
  slots_[index].waiting.push_back(&waiting);
}

void Residency::leave(size_t index, Waiting& waiting) {
  CHECK(!waiting.outcome);
  std::erase(slots_[index].waiting, &waiting);
}

void Residency::release(size_t index, TimePoint now, bool used) {
  Slot& slot = slots_[index];
  CHECK(slot.users > 0);
  --slot.users;
  if (!used) return;
  slot.last_used = now;
  slot.expires = after(now, slot.keep_alive);
}

void Residency::set_keep_alive(size_t index, KeepAlive keep_alive, TimePoint now) {
  Slot& slot = slots_[index];
  slot.keep_alive = keep_alive;
  slot.expires = after(now, keep_alive);
}

void Residency::expire(size_t index, TimePoint now) { set_keep_alive(index, KeepAlive(0), now); }

void Residency::mark_broken(size_t index) { slots_[index].broken = true; }

bool Residency::idle(const Slot& slot) const {
  return slot.stage == Stage::kReady && slot.users == 0 &&
         (slot.waiting.empty() || slot.closed || slot.broken);
}

// The absent model whose oldest request has waited longest.
std::optional<size_t> Residency::first_in_line() const {
  std::optional<size_t> first;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.stage != Stage::kAbsent || slot.waiting.empty()) continue;
    if (!first || slot.waiting.front()->since < slots_[*first].waiting.front()->since) first = i;
  }
  return first;
}

std::vector<size_t> Residency::ready_by_use() const {
  std::vector<size_t> order;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].stage == Stage::kReady) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [this](size_t a, size_t b) {
    return slots_[a].last_used < slots_[b].last_used;
  });
  return order;
}

uint64_t Residency::used_bytes() const {
  uint64_t sum = 0;
  for (const Slot& slot : slots_) {
    if (slot.stage != Stage::kAbsent) sum += slot.bytes;
  }
  return sum;
}

std::optional<size_t> Residency::make_room(size_t index, TimePoint now) {
  const uint64_t used = used_bytes();
  const uint64_t needed = predicted_[index];
  // What has to go, in whole models.
  const auto enough = [&](uint64_t going) {
    return needed <= budget_ - std::min(budget_, used - going);
  };
  const std::vector<size_t> order = ready_by_use();
  std::optional<size_t> victim;
  uint64_t going = 0;
  for (const size_t i : order) {
    if (!idle(slots_[i])) continue;
    if (!victim) victim = i;
    going += slots_[i].bytes;
    if (enough(going)) return victim;
  }
  if (now - slots_[index].waiting.front()->since < patience_) return std::nullopt;
  for (const size_t i : order) {
    if (enough(going)) break;
    if (idle(slots_[i])) continue;
    slots_[i].closed = true;
    going += slots_[i].bytes;
  }
  return std::nullopt;
}

void Residency::grant(Slot& slot) {
  for (Waiting* waiting : slot.waiting) {
    waiting->outcome = ok_status();
    ++slot.users;
  }
  slot.waiting.clear();
}

Residency::Action Residency::next(TimePoint now) {
  for (Slot& slot : slots_) slot.closed = false;
  Action action;
  const auto first = first_in_line();
  std::optional<size_t> victim;
  if (first && predicted_[*first] > budget_ - std::min(budget_, used_bytes())) {
    victim = make_room(*first, now);
    action.look_again = after(slots_[*first].waiting.front()->since, patience_);
    if (action.look_again <= now) action.look_again = TimePoint::max();
  } else if (first) {
    slots_[*first].stage = Stage::kLoading;
    return {Action::Kind::kLoad, *first, TimePoint::max()};
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.stage == Stage::kReady && !slot.closed && !slot.broken) grant(slot);
    if (!idle(slot)) continue;
    if (slot.expires <= now || slot.closed || slot.broken) victim = i;
    action.look_again = std::min(action.look_again, slot.expires);
  }
  if (!victim) return action;
  slots_[*victim].stage = Stage::kUnloading;
  return {Action::Kind::kUnload, *victim, TimePoint::max()};
}

void Residency::loaded(size_t index, uint64_t bytes, TimePoint now) {
  Slot& slot = slots_[index];
  CHECK(slot.stage == Stage::kLoading);
  slot.stage = Stage::kReady;
  slot.bytes = bytes;
  slot.last_used = now;
  slot.expires = after(now, slot.keep_alive);
  grant(slot);
}

void Residency::load_failed(size_t index, const Error& error) {
  Slot& slot = slots_[index];
  CHECK(slot.stage == Stage::kLoading);
  slot.stage = Stage::kAbsent;
  slot.keep_alive = keep_alive_;
  for (Waiting* waiting : slot.waiting) waiting->outcome = Status(error);
  slot.waiting.clear();
}

void Residency::unloaded(size_t index) {
  Slot& slot = slots_[index];
  CHECK(slot.stage == Stage::kUnloading && slot.users == 0);
  slot.stage = Stage::kAbsent;
  slot.bytes = predicted_[index];
  slot.broken = false;
  slot.closed = false;
  slot.keep_alive = keep_alive_;
  slot.expires = TimePoint::max();
}

void Residency::fail_waiting(const Error& error) {
  for (Slot& slot : slots_) {
    for (Waiting* waiting : slot.waiting) waiting->outcome = Status(error);
    slot.waiting.clear();
  }
}

size_t Residency::loads_ahead(size_t index) const {
  const Slot& wanted = slots_[index];
  if (wanted.stage == Stage::kReady && !wanted.closed && !wanted.broken) return 0;
  size_t ahead = 1;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (i == index) continue;
    const Slot& slot = slots_[i];
    if (slot.stage == Stage::kLoading) ++ahead;
    if (slot.stage != Stage::kAbsent || slot.waiting.empty()) continue;
    const bool older =
        wanted.waiting.empty() || slot.waiting.front()->since < wanted.waiting.front()->since;
    if (older) ++ahead;
  }
  return ahead;
}

std::optional<std::string> Residency::check_integrity() const {
  int changing = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    const std::string name = "model " + std::to_string(i);
    changing += slot.stage == Stage::kLoading || slot.stage == Stage::kUnloading;
    if (slot.users < 0) return name + " has fewer than no users";
    if (slot.users > 0 && slot.stage != Stage::kReady) return name + " is used and not loaded";
    for (size_t j = 0; j < slot.waiting.size(); ++j) {
      if (slot.waiting[j]->outcome) return name + " keeps somebody waiting who has an outcome";
      if (j > 0 && slot.waiting[j]->since < slot.waiting[j - 1]->since) {
        return name + " has its queue out of order";
      }
    }
  }
  if (changing > 1) return "more than one model is being loaded or unloaded";
  if (used_bytes() > budget_) return "more than the budget is in use";
  return std::nullopt;
}

}  // namespace quern::engine
