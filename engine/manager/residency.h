// Which models are loaded, who uses them, who waits for one, and what is to be loaded or unloaded
// next. Pure: no threads, no clock, no models; the ModelManager asks it and does what it says.
//
// Policy: loads happen one at a time, in the order in which their first request came. To make room,
// the least recently used models that nobody uses go, and only if that suffices. When it does not,
// the next in line waits; once it has waited for `patience`, models in use are closed, the least
// recently used first: they take no new requests, finish those that run, and go. So a model with
// running requests is never unloaded, and nobody waits for ever behind a busy one. Whoever waited
// for a model uses it from the moment it is loaded, so it cannot be taken away again before.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/manager/resident.h"

namespace quern::engine {

class Residency {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  enum class Stage : uint8_t { kAbsent, kLoading, kReady, kUnloading };

  // One request that waits for a model; owned by it. Removed by leave() before it goes, unless it
  // has its outcome.
  struct Waiting {
    TimePoint since{};
    std::optional<Status> outcome;  // ok: it uses the model now
  };

  struct Slot {
    Stage stage = Stage::kAbsent;
    uint64_t bytes = 0;   // predicted; the true figure while loaded
    int32_t users = 0;    // requests that use it
    bool closed = false;  // to be emptied for another; decided anew by each next()
    bool broken = false;  // to go as soon as nobody uses it
    KeepAlive keep_alive = kForever;
    TimePoint last_used{};
    TimePoint expires = TimePoint::max();  // while nobody uses it
    std::vector<Waiting*> waiting;         // by age
  };

  struct Action {
    enum class Kind : uint8_t { kNone, kLoad, kUnload } kind = Kind::kNone;
    size_t index = 0;
    // kNone: something may be due then, without anybody saying so.
    TimePoint look_again = TimePoint::max();
  };

  Residency(std::span<const uint64_t> bytes, uint64_t budget_bytes, KeepAlive keep_alive,
            std::chrono::nanoseconds patience);

  // Whether the model is loaded and open; if so, one more request uses it.
  bool try_use(size_t index);
  // The same for one that only looks: also while it is closed.
  bool try_hold(size_t index);
  // Joins those who wait for it. Precondition: it can ever fit.
  void wait(size_t index, Waiting& waiting, TimePoint now);
  // Gives up waiting. Precondition: no outcome yet.
  void leave(size_t index, Waiting& waiting);
  // A request is over. `used`: it was one that computes, not one that only looks.
  void release(size_t index, TimePoint now, bool used);
  void set_keep_alive(size_t index, KeepAlive keep_alive, TimePoint now);
  // To go as soon as nobody uses it.
  void expire(size_t index, TimePoint now);
  void mark_broken(size_t index);

  // What to do now. The stage follows; the caller reports back with one of the three below. Not to
  // be called in between.
  Action next(TimePoint now);
  void loaded(size_t index, uint64_t bytes, TimePoint now);
  void load_failed(size_t index, const Error& error);
  void unloaded(size_t index);

  // Ends everybody's waiting with this error.
  void fail_waiting(const Error& error);

  bool fits(size_t index) const { return predicted_[index] <= budget_; }
  uint64_t predicted(size_t index) const { return predicted_[index]; }
  const Slot& slot(size_t index) const { return slots_[index]; }
  size_t size() const { return slots_.size(); }
  uint64_t used_bytes() const;
  uint64_t budget() const { return budget_; }
  // Loads that come before this model is there; 0 when it is loaded.
  size_t loads_ahead(size_t index) const;

  // What is wrong, or nothing. For tests.
  std::optional<std::string> check_integrity() const;

 private:
  bool idle(const Slot& slot) const;
  std::optional<size_t> first_in_line() const;
  std::vector<size_t> ready_by_use() const;
  // Decides who is closed; the model to unload so that `index` fits, if that helps.
  std::optional<size_t> make_room(size_t index, TimePoint now);
  void grant(Slot& slot);

  std::vector<Slot> slots_;
  std::vector<uint64_t> predicted_;
  uint64_t budget_;
  KeepAlive keep_alive_;
  std::chrono::nanoseconds patience_;
};

}  // namespace quern::engine
