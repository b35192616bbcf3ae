// Several models in one process: loaded when a request asks for one, kept while there is room,
// unloaded by age and by bytes. What happens when is Residency's to say; here are the thread that
// loads and unloads, and the requests that wait for it.
//
// A Lease is a request's hold on a model; it must not outlive the manager. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "config/base/log.h"
#include "config/base/result.h"
#include "engine/manager/residency.h"
#include "engine/manager/resident.h"

namespace quern::engine {

struct ManagerOptions {
  uint64_t budget_bytes = UINT64_MAX;  // of all loaded models together
  KeepAlive keep_alive = kForever;     // unless a request says otherwise
  int32_t max_waiting = 512;           // requests that wait for one model; more are kBusy
  int32_t max_waiting_per_share = 0;   // of one share, for models to be loaded; 0: no such limit
  // How long the next model in line waits for those in use to fall idle by themselves before they
  // are closed to new requests: long beside a load, so that two busy models that do not fit
  // together are not exchanged all the time.
  std::chrono::nanoseconds patience = std::chrono::seconds(2);
  // The clock of keep-alive and patience; tests bring their own and call look_again().
  std::function<std::chrono::steady_clock::time_point()> now = {};
  Log log = Log::none();
};

// One model, for listings and metrics.
struct ModelState {
  bool loaded = false;
  bool in_use = false;
  uint64_t bytes = 0;  // what it takes, or would take
  KeepAlive keep_alive = kForever;
  KeepAlive expires_in = kForever;  // from now, when nobody uses it until then
  uint64_t loads = 0;
  uint64_t load_failures = 0;
  uint64_t unloads = 0;
  double last_load_s = 0;
  int32_t waiting = 0;  // requests
};

class ModelManager {
 public:
  // Holds a model; empty when default-made.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { reset(); }
    explicit operator bool() const { return manager_ != nullptr; }
    // Precondition: not empty.
    const Resident& resident() const { return *resident_; }
    void reset();

   private:
    friend class ModelManager;
    Lease(ModelManager& manager, size_t index, const Resident& resident, bool used)
        : manager_(&manager), index_(index), resident_(&resident), used_(used) {}
    ModelManager* manager_ = nullptr;
    size_t index_ = 0;
    const Resident* resident_ = nullptr;
    bool used_ = false;
  };

  struct Ask {
    std::optional<KeepAlive> keep_alive = {};  // from now on
    std::optional<std::chrono::steady_clock::time_point> deadline = {};
    // Whether whoever asked has gone; looked at several times a second.
    std::function<bool()> gone = {};
    std::string share = {};  // as Request::share
  };

  ModelManager(std::vector<ModelSource> sources, ManagerOptions options);
  // Unloads everything. No lease may be left.
  ~ModelManager();
  ModelManager(const ModelManager&) = delete;
  ModelManager& operator=(const ModelManager&) = delete;

  // The model, loaded if it is not. Errors: what the load ended with; kOutOfMemory, with both
  // figures, when it can never fit; kBusy when too many wait, when the deadline has passed or when
  // the manager drains; kCancelled when `gone`.
  Result<Lease> acquire(size_t index, const Ask& ask);
  // Whether kBusy is the fault of this share's own waiting requests.
  bool share_is_full(std::string_view share) const;
  // The model if it is loaded, without using it: it neither is loaded for this nor stays longer.
  Lease peek(size_t index);
  // Unloads it as soon as nobody uses it.
  void unload(size_t index);

  size_t size() const { return sources_.size(); }
  ModelState state(size_t index) const;
  uint64_t budget_bytes() const { return options_.budget_bytes; }
  uint64_t used_bytes() const;
  // How long a request for this model would wait for it to be loaded, by the loads so far.
  std::chrono::nanoseconds predicted_wait(size_t index) const;

  // Requests that wait for a model fail now, later ones are refused; loaded models drain.
  void drain(std::chrono::steady_clock::time_point deadline);
  // Something may be due: the tests' clock has moved.
  void look_again();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  class Place;

  void run();
  void load(size_t index, std::unique_lock<std::mutex>& lock);
  void unload_now(size_t index, std::unique_lock<std::mutex>& lock);
  Status check_room(size_t index, const Ask& ask) const;
  bool share_is_full_locked(std::string_view share) const;
  Status wait_for(size_t index, const Ask& ask, std::unique_lock<std::mutex>& lock);
  void release(size_t index, bool used);
  void wake();

  const std::vector<ModelSource> sources_;
  const ManagerOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable work_;     // the thread waits here
  std::condition_variable changed_;  // requests wait here for their outcome
  Residency residency_;
  std::vector<std::unique_ptr<Resident>> residents_;
  std::vector<ModelState> counts_;  // loads, failures, unloads and times; the rest is made fresh
  std::map<std::string, int32_t, std::less<>> waiting_by_share_;  // nobody stands at 0
  double mean_load_s_ = 0;
  uint64_t n_events_ = 0;  // counts reasons for the thread to look again
  bool draining_ = false;
  bool stop_ = false;

  std::thread thread_;
};

}  // namespace quern::engine
