// The thread that loads and unloads, and those who wait for it: see model_manager.h.
#include "engine/manager/model_manager.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "config/base/check.h"

namespace quern::engine {
namespace {

using Clock = std::chrono::steady_clock;

// How often somebody who waits looks for his client; as often as while an answer is made.
constexpr auto kLook = std::chrono::milliseconds(50);
constexpr double kLoadBlend = 0.3;  // weight of the newest load's time

std::vector<uint64_t> bytes_of(const std::vector<ModelSource>& sources) {
  std::vector<uint64_t> out;
  for (const ModelSource& source : sources) out.push_back(source.bytes);
  return out;
}

Error shutting_down() {
  return Error(ErrorKind::kBusy, "the server is shutting down; retry later or elsewhere");
}

Error never_fits(const ModelSource& source, uint64_t budget) {
  return Error(ErrorKind::kOutOfMemory,
               "the model '" + source.name + "' takes " + std::to_string(source.bytes) +
                   " bytes, all models together may take " + std::to_string(budget) +
                   "; allow more memory for models, or less for its keys and values");
}

// Gives a lock up for a while.
class Unlocked {
 public:
  explicit Unlocked(std::unique_lock<std::mutex>& lock) : lock_(lock) { lock_.unlock(); }
  ~Unlocked() { lock_.lock(); }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  std::unique_lock<std::mutex>& lock_;
};

// Memory that runs out is the load's error, not the process's end. Other errors are the source's to
// log.
Result<std::unique_ptr<Resident>> load_from(const ModelSource& source, const Log& log) {
  try {
    return source.load();
  } catch (const std::bad_alloc&) {
    Error error(ErrorKind::kOutOfMemory, "memory ran out while the model '" + source.name +
                                             "' was loaded; retry when less is running");
    log.error(error.message());
    return error;
  }
}

}  // namespace

// A request's place among those who wait for a model, left however its waiting ends. The mutex is
// held when one is made and when it goes.
class ModelManager::Place {
 public:
  Place(ModelManager& manager, size_t index, const std::string& share)
      : manager_(manager),
        index_(index),
        of_share_(manager.waiting_by_share_.try_emplace(share, 0).first) {
    manager_.residency_.wait(index_, waiting_, manager_.options_.now());
    ++of_share_->second;
    manager_.wake();
  }
  ~Place() {
    if (--of_share_->second == 0) manager_.waiting_by_share_.erase(of_share_);
    if (waiting_.outcome) return;
    manager_.residency_.leave(index_, waiting_);
    manager_.wake();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  const std::optional<Status>& outcome() const { return waiting_.outcome; }

 private:
  ModelManager& manager_;
  size_t index_;
  std::map<std::string, int32_t, std::less<>>::iterator of_share_;
  Residency::Waiting waiting_;
};

ModelManager::Lease& ModelManager::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  reset();
  manager_ = std::exchange(other.manager_, nullptr);
  index_ = other.index_;
  resident_ = std::exchange(other.resident_, nullptr);
  used_ = other.used_;
  return *this;
}

void ModelManager::Lease::reset() {
  resident_ = nullptr;
  if (ModelManager* manager = std::exchange(manager_, nullptr)) manager->release(index_, used_);
}

ModelManager::ModelManager(std::vector<ModelSource> sources, ManagerOptions options)
    : sources_(std::move(sources)),
      options_([&] {
        if (!options.now) options.now = [] { return Clock::now(); };
        return std::move(options);
      }()),
      residency_(bytes_of(sources_), options_.budget_bytes, options_.keep_alive, options_.patience),
      residents_(sources_.size()),
      counts_(sources_.size()) {
  thread_ = std::thread([this] { run(); });
}

ModelManager::~ModelManager() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    draining_ = true;
    residency_.fail_waiting(shutting_down());
  }
  work_.notify_all();
  changed_.notify_all();
  thread_.join();
  for (size_t i = 0; i < sources_.size(); ++i) CHECK(residency_.slot(i).users == 0);
}

Result<ModelManager::Lease> ModelManager::acquire(size_t index, const Ask& ask) {
  CHECK(index < sources_.size());
  std::unique_lock lock(mutex_);
  if (draining_) return shutting_down();
  if (!residency_.fits(index)) return never_fits(sources_[index], options_.budget_bytes);
  if (residents_[index] && !residents_[index]->usable()) {
    residency_.mark_broken(index);
    wake();
  }
  if (ask.keep_alive) residency_.set_keep_alive(index, *ask.keep_alive, options_.now());
  if (!residency_.try_use(index)) QUERN_RETURN_IF_ERROR(wait_for(index, ask, lock));
  return Lease(*this, index, *residents_[index], true);
}

// Precondition: mutex_ is held.
bool ModelManager::share_is_full_locked(std::string_view share) const {
  if (options_.max_waiting_per_share <= 0) return false;
  const auto found = waiting_by_share_.find(share);
  return found != waiting_by_share_.end() && found->second >= options_.max_waiting_per_share;
}

bool ModelManager::share_is_full(std::string_view share) const {
  const std::lock_guard lock(mutex_);
  return share_is_full_locked(share);
}

// Precondition: mutex_ is held.
Status ModelManager::check_room(size_t index, const Ask& ask) const {
  if (share_is_full_locked(ask.share)) {
    return Error(ErrorKind::kBusy, "this API key has " +
                                       std::to_string(options_.max_waiting_per_share) +
                                       " requests waiting for models to be loaded already, which "
                                       "is its limit; retry when some are answered");
  }
  const auto n_waiting = static_cast<int32_t>(residency_.slot(index).waiting.size());
  if (n_waiting < options_.max_waiting) return ok_status();
  return Error(ErrorKind::kBusy, std::to_string(n_waiting) + " requests wait for the model '" +
                                     sources_[index].name +
                                     "' to be loaded already, which is the limit; retry later");
}

// Waits until the model is loaded and used by this request, or cannot be had.
Status ModelManager::wait_for(size_t index, const Ask& ask, std::unique_lock<std::mutex>& lock) {
  QUERN_RETURN_IF_ERROR(check_room(index, ask));
  Place place(*this, index, ask.share);
  const auto over = [&place] { return place.outcome().has_value(); };
  while (!changed_.wait_for(lock, kLook, over)) {
    if (ask.deadline && Clock::now() >= *ask.deadline) {
      return Error(ErrorKind::kBusy, "the model '" + sources_[index].name +
                                         "' was not loaded within the request's time; allow more "
                                         "time or retry later");
    }
    if (!ask.gone) continue;
    bool gone = false;
    {
      const Unlocked unlocked(lock);  // it asks the system
      gone = ask.gone();
    }
    if (gone && !over()) return Error(ErrorKind::kCancelled, "the client has gone");
  }
  return *place.outcome();
}

ModelManager::Lease ModelManager::peek(size_t index) {
  CHECK(index < sources_.size());
  const std::lock_guard lock(mutex_);
  if (!residency_.try_hold(index)) return Lease();
  return Lease(*this, index, *residents_[index], false);
}

void ModelManager::unload(size_t index) {
  const std::lock_guard lock(mutex_);
  residency_.expire(index, options_.now());
  wake();
}

void ModelManager::release(size_t index, bool used) {
  const std::lock_guard lock(mutex_);
  residency_.release(index, options_.now(), used);
  wake();
}

void ModelManager::look_again() {
  const std::lock_guard lock(mutex_);
  wake();
}

// Precondition: mutex_ is held.
void ModelManager::wake() {
  ++n_events_;
  work_.notify_all();
}

ModelState ModelManager::state(size_t index) const {
  CHECK(index < sources_.size());
  const std::lock_guard lock(mutex_);
  ModelState state = counts_[index];
  const Residency::Slot& slot = residency_.slot(index);
  state.loaded = slot.stage == Residency::Stage::kReady;
  state.in_use = slot.users > 0;
  state.bytes = slot.bytes;
  state.keep_alive = slot.keep_alive;
  state.waiting = static_cast<int32_t>(slot.waiting.size());
  state.expires_in = slot.keep_alive;
  if (slot.users == 0 && slot.expires != TimePoint::max()) {
    state.expires_in = std::max<KeepAlive>(slot.expires - options_.now(), KeepAlive(0));
  }
  return state;
}

uint64_t ModelManager::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return residency_.used_bytes();
}

std::chrono::nanoseconds ModelManager::predicted_wait(size_t index) const {
  const std::lock_guard lock(mutex_);
  const auto loads = static_cast<double>(residency_.loads_ahead(index));
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(loads * mean_load_s_));
}

void ModelManager::drain(TimePoint deadline) {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
    residency_.fail_waiting(shutting_down());
  }
  changed_.notify_all();
  for (size_t i = 0; i < sources_.size(); ++i) {
    Resident* resident = nullptr;
    Lease lease;
    {
      const std::lock_guard lock(mutex_);
      if (!residency_.try_hold(i)) continue;
      resident = residents_[i].get();
      lease = Lease(*this, i, *resident, false);
    }
    resident->drain(deadline);
  }
}

void ModelManager::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const uint64_t seen = n_events_;
    const Residency::Action action = residency_.next(options_.now());
    changed_.notify_all();  // next() may have let some in
    if (action.kind == Residency::Action::Kind::kLoad) {
      load(action.index, lock);
    } else if (action.kind == Residency::Action::Kind::kUnload) {
      unload_now(action.index, lock);
    } else if (action.look_again == TimePoint::max()) {
      work_.wait(lock, [&] { return stop_ || n_events_ != seen; });
    } else {
      work_.wait_until(lock, action.look_again, [&] { return stop_ || n_events_ != seen; });
    }
  }
}

void ModelManager::load(size_t index, std::unique_lock<std::mutex>& lock) {
  const ModelSource& source = sources_[index];
  lock.unlock();
  const TimePoint begin = Clock::now();
  auto made = load_from(source, options_.log);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  lock.lock();
  if (!made.ok()) {
    ++counts_[index].load_failures;
    residency_.load_failed(index, made.error());
  } else {
    ++counts_[index].loads;
    counts_[index].last_load_s = seconds;
    mean_load_s_ += (mean_load_s_ > 0 ? kLoadBlend : 1) * (seconds - mean_load_s_);
    residents_[index] = std::move(made).value();
    residency_.loaded(index, residents_[index]->bytes(), options_.now());
  }
  changed_.notify_all();
}

void ModelManager::unload_now(size_t index, std::unique_lock<std::mutex>& lock) {
  std::unique_ptr<Resident> going = std::move(residents_[index]);
  lock.unlock();
  going.reset();
  options_.log.info("the model '" + sources_[index].name + "' was unloaded");
  lock.lock();
  ++counts_[index].unloads;
  residency_.unloaded(index);
}

}  // namespace quern::engine
