// The thread that reads and writes a PageStore for the engine, so that the engine never waits for a
// disk. Everything is bounded: reads in progress by number, writes that wait by bytes; what does
// not fit is not done, which costs time later and nothing else.
//
// Names need the digest of the model file, which takes a while for a large one; it is computed here
// first, and until then there are no names and so no reads and writes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/store/page_keys.h"
#include "engine/store/page_store.h"

namespace quern::engine {

struct StoreWorkerOptions {
  uint64_t page_bytes = 0;
  int32_t page_tokens = 0;
  size_t max_loads = 4;                          // asked for and not taken yet
  uint64_t max_save_bytes = uint64_t{64} << 20;  // waiting to be written
  size_t max_load_pages = 2048;                  // of one prompt
};

class StoreWorker {
 public:
  // Pages of one prompt, in order; it ends where the first one was missing.
  struct Loaded {
    uint64_t ticket = 0;
    std::vector<std::vector<std::byte>> pages;
  };

  // `identify` runs on the worker's thread, once; without an answer the store stays unused.
  // Errors: the system refuses a thread.
  static Result<std::unique_ptr<StoreWorker>> start(
      std::unique_ptr<PageStore> store, const StoreWorkerOptions& options,
      std::function<std::optional<Digest>()> identify);
  // Writes what waits, for two seconds at most.
  ~StoreWorker();
  StoreWorker(const StoreWorker&) = delete;
  StoreWorker& operator=(const StoreWorker&) = delete;

  // Called by the worker's thread whenever take_loaded() has something new. Set before the first
  // load.
  void on_loaded(std::function<void()> callback);

  // Names of the whole pages of a prompt; empty until the model is identified. Thread-safe.
  // `adapters`: see page_digests().
  std::vector<Digest> names(std::string_view share, std::span<const TokenId> tokens,
                            std::string_view adapters = {}) const;
  bool contains(const Digest& page) const { return store_->contains(page); }
  // False when too many loads are in progress.
  bool load(uint64_t ticket, std::vector<Digest> pages);
  std::vector<Loaded> take_loaded();
  // False when too much waits to be written: try later.
  bool can_save() const;
  void save(const Digest& page, std::vector<std::byte> bytes);
  // Waits until nothing is left to do. For tests and orderly ends.
  void wait_idle(std::chrono::milliseconds timeout);

  PageStoreCounters counters() const { return store_->counters(); }
  const StoreWorkerOptions& options() const { return options_; }

 private:
  struct LoadJob {
    uint64_t ticket;
    std::vector<Digest> pages;
  };
  struct SaveJob {
    Digest page;
    std::vector<std::byte> bytes;
  };

  StoreWorker(std::unique_ptr<PageStore> store, const StoreWorkerOptions& options)
      : store_(std::move(store)), options_(options) {}
  void run(const std::function<std::optional<Digest>()>& identify);
  bool turn();
  void load_pages(const LoadJob& job);

  std::unique_ptr<PageStore> store_;
  const StoreWorkerOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::optional<Digest> origin_;
  std::deque<LoadJob> loads_;
  std::deque<SaveJob> saves_;
  std::vector<Loaded> loaded_;
  std::function<void()> on_loaded_;
  size_t n_loads_ = 0;  // waiting, in progress and not taken
  uint64_t save_bytes_ = 0;
  bool busy_ = true;
  std::optional<std::chrono::steady_clock::time_point> stop_at_;

  std::thread thread_;
};

}  // namespace quern::engine
