// One loop: reads first, as somebody waits for them.
#include "engine/store/store_worker.h"

#include <algorithm>
#include <new>
#include <system_error>

#include "config/base/check.h"

namespace quern::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLastWrites = std::chrono::seconds(2);

}  // namespace

Result<std::unique_ptr<StoreWorker>> StoreWorker::start(
    std::unique_ptr<PageStore> store, const StoreWorkerOptions& options,
    std::function<std::optional<Digest>()> identify) {
  std::unique_ptr<StoreWorker> worker(new StoreWorker(std::move(store), options));
  try {
    worker->thread_ =
        std::thread([raw = worker.get(), identify = std::move(identify)] { raw->run(identify); });
  } catch (const std::system_error&) {
    return Error(ErrorKind::kOutOfMemory,
                 "the system refused to start the prefix cache thread; raise the limit of "
                 "processes");
  }
  return worker;
}

StoreWorker::~StoreWorker() {
  {
    const std::lock_guard lock(mutex_);
    stop_at_ = Clock::now() + kLastWrites;
    loads_.clear();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StoreWorker::on_loaded(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  on_loaded_ = std::move(callback);
}

void StoreWorker::run(const std::function<std::optional<Digest>()>& identify) {
  std::optional<Digest> origin;
  try {
    origin = identify();
  } catch (const std::bad_alloc&) {
  }
  {
    const std::lock_guard lock(mutex_);
    origin_ = origin;
  }
  while (turn()) {
  }
}

bool StoreWorker::turn() {
  std::optional<LoadJob> load;
  std::optional<SaveJob> save;
  {
    std::unique_lock lock(mutex_);
    busy_ = false;
    if (loads_.empty() && saves_.empty()) idle_.notify_all();
    wake_.wait(lock, [this] { return stop_at_ || !loads_.empty() || !saves_.empty(); });
    if (stop_at_ && (saves_.empty() || Clock::now() >= *stop_at_)) return false;
    busy_ = true;
    if (!loads_.empty()) {
      load = std::move(loads_.front());
      loads_.pop_front();
    } else {
      save = std::move(saves_.front());
      saves_.pop_front();
      save_bytes_ -= save->bytes.size();
    }
  }
  try {
    if (load) load_pages(*load);
    if (save) store_->save(save->page, save->bytes);
  } catch (const std::bad_alloc&) {
    // Not done; a reader still gets an answer.
    if (load) {
      const std::lock_guard lock(mutex_);
      loaded_.push_back({load->ticket, {}});
    }
  }
  if (load) {
    std::function<void()> callback;
    {
      const std::lock_guard lock(mutex_);
      callback = on_loaded_;
    }
    if (callback) callback();
  }
  return true;
}

void StoreWorker::load_pages(const LoadJob& job) {
  Loaded out{job.ticket, {}};
  const uint64_t damaged = store_->counters().damaged;
  for (const Digest& page : job.pages) {
    auto bytes = store_->load(page, options_.page_bytes);
    if (!bytes) break;
    out.pages.push_back(std::move(*bytes));
  }
  if (store_->counters().damaged > damaged) {
    // What comes after a damaged page is computed anyway; written again, it is whole for sure.
    for (size_t i = out.pages.size(); i < job.pages.size(); ++i) store_->forget(job.pages[i]);
  }
  const std::lock_guard lock(mutex_);
  loaded_.push_back(std::move(out));
}

std::vector<Digest> StoreWorker::names(std::string_view share, std::span<const TokenId> tokens,
                                       std::string_view adapters) const {
  std::optional<Digest> origin;
  {
    const std::lock_guard lock(mutex_);
    origin = origin_;
  }
  if (!origin) return {};
  return page_digests(*origin, share, tokens, options_.page_tokens, options_.max_load_pages,
                      adapters);
}

bool StoreWorker::load(uint64_t ticket, std::vector<Digest> pages) {
  {
    const std::lock_guard lock(mutex_);
    if (n_loads_ >= options_.max_loads) return false;
    loads_.push_back({ticket, std::move(pages)});
    ++n_loads_;
  }
  wake_.notify_one();
  return true;
}

std::vector<StoreWorker::Loaded> StoreWorker::take_loaded() {
  const std::lock_guard lock(mutex_);
  CHECK(n_loads_ >= loaded_.size());
  n_loads_ -= loaded_.size();
  std::vector<Loaded> out;
  out.swap(loaded_);
  return out;
}

bool StoreWorker::can_save() const {
  const std::lock_guard lock(mutex_);
  return save_bytes_ < options_.max_save_bytes;
}

void StoreWorker::save(const Digest& page, std::vector<std::byte> bytes) {
  {
    const std::lock_guard lock(mutex_);
    const bool waits = std::any_of(saves_.begin(), saves_.end(),
                                   [&](const SaveJob& job) { return job.page == page; });
    if (waits) return;
    save_bytes_ += bytes.size();
    saves_.push_back({page, std::move(bytes)});
  }
  wake_.notify_one();
}

void StoreWorker::wait_idle(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  idle_.wait_for(lock, timeout, [this] { return !busy_ && loads_.empty() && saves_.empty(); });
}

}  // namespace quern::engine
