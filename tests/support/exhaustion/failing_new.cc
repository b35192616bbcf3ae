// Replaces every form of new and delete that pairs with another, so that a sanitizer sees pairs.
#include "tests/support/exhaustion/failing_new.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace quern::tests {
namespace {

// Counts down to a failure; idle at a negative number.
class Countdown {
 public:
  void start(int64_t first, int64_t n) {
    failures_ = 0;
    until_ = first + n - 1;
    last_ = n;
  }
  void stop() { until_ = -1; }
  int64_t failures() const { return failures_; }
  bool granted() {
    if (until_.load(std::memory_order_relaxed) <= 0) return true;
    const int64_t left = until_.fetch_sub(1);
    if (left <= 0 || left > last_) return true;
    ++failures_;
    return false;
  }

 private:
  std::atomic<int64_t> until_{-1};  // the last failure
  std::atomic<int64_t> last_{0};    // of them, those that fail
  std::atomic<int64_t> failures_{0};
};

constinit thread_local Countdown here;
constinit Countdown elsewhere;
constinit thread_local bool spared = false;  // by `elsewhere`

bool granted() noexcept { return here.granted() && (spared || elsewhere.granted()); }

void* allocate(std::size_t size) noexcept {
  return granted() ? std::malloc(size == 0 ? 1 : size) : nullptr;
}

void* allocate_or_throw(std::size_t size) {
  void* const memory = allocate(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void fail_allocations(int64_t first, int64_t n) { here.start(first, n); }

void fail_allocations_elsewhere(int64_t first, int64_t n) {
  spared = true;
  elsewhere.start(first, n);
}

int64_t grant_allocations() {
  here.stop();
  elsewhere.stop();
  return here.failures() + elsewhere.failures();
}

}  // namespace quern::tests

namespace {

using quern::tests::allocate;
using quern::tests::allocate_or_throw;

}  // namespace

void* operator new(std::size_t size) { return allocate_or_throw(size); }
void* operator new[](std::size_t size) { return allocate_or_throw(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
