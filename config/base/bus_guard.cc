// The SIGBUS handler and its table. Only async-signal-safe operations happen in the handler:
// lock-free atomics and the mmap and sigaction system calls.
#include "config/base/bus_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>

namespace quern::bus_guard {
namespace {

// A slot is claimed by `used`, visible to the handler while `begin` is not 0.
struct Range {
  std::atomic<bool> used{false};
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> poisoned{false};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "the signal handler must not take a lock");

// Everything the handler needs, reachable without a pointer chase. Constant-initialised, so a fault
// at any time finds a valid table.
struct Guard {
  Range ranges[kMaxRanges];
  std::atomic<int> high_water{0};  // slots at and above were never used
  std::atomic<uintptr_t> page_mask{0};
  struct sigaction previous {};
};
constinit Guard guard;

// mmap without the C library around it: a signal handler should not depend on what a library or a
// sanitizer does there.
void* map_zeros(uintptr_t begin, size_t size) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  // Addresses are kept as numbers, which the handler can read atomically.
  void* place = reinterpret_cast<void*>(begin);  // NOLINT(performance-no-int-to-ptr)
#if defined(__linux__) && defined(__LP64__)
  const long mapped = syscall(SYS_mmap, place, size, PROT_READ, kFlags, -1, 0);
  return mapped == -1 ? MAP_FAILED : place;
#else
  return mmap(place, size, PROT_READ, kFlags, -1, 0);
#endif
}

// Puts zero pages from the faulting page to the end of its range. The rest of the range goes with
// it because one fault usually means a truncated file, and because a page at a time could exceed
// the kernel's limit on mappings; the range is void anyway once poisoned.
bool answer_fault(uintptr_t address) {
  const int n_slots = guard.high_water.load(std::memory_order_acquire);
  for (int slot = 0; slot < n_slots; ++slot) {
    Range& range = guard.ranges[slot];
    const uintptr_t begin = range.begin.load(std::memory_order_acquire);
    const uintptr_t end = range.end.load(std::memory_order_relaxed);
    if (begin == 0 || address < begin || address >= end) continue;
    const uintptr_t page = address & guard.page_mask.load(std::memory_order_relaxed);
    // Before the mapping, so that no thread can read a zero without the flag being set.
    range.poisoned.store(true, std::memory_order_seq_cst);
    return map_zeros(page, end - page) != MAP_FAILED;
  }
  return false;
}

void on_sigbus(int number, siginfo_t* info, void* /*context*/) {
  const int saved_errno = errno;
  // A code above 0 comes from the kernel and carries an address; kill(2) does not.
  const bool from_kernel = info->si_code > 0;
  if (!from_kernel || !answer_fault(reinterpret_cast<uintptr_t>(info->si_addr))) {
    // Not ours: hand it back. Returning repeats the faulting instruction; a signal that was sent
    // has no such instruction and is raised again.
    sigaction(number, &guard.previous, nullptr);
    if (!from_kernel) raise(number);
  }
  errno = saved_errno;
}

bool install_handler() {
  guard.page_mask.store(~(static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)) - 1));
  struct sigaction action {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, &guard.previous) == 0;
}

}  // namespace

Result<int> add_range(const void* begin, size_t size) {
  static const bool installed = install_handler();
  if (!installed) {
    return Error(ErrorKind::kInternal,
                 "the SIGBUS handler could not be installed, so mapped files would not be safe");
  }
  for (int slot = 0; slot < kMaxRanges; ++slot) {
    Range& range = guard.ranges[slot];
    if (range.used.exchange(true, std::memory_order_acq_rel)) continue;
    range.poisoned.store(false, std::memory_order_relaxed);
    const auto start = reinterpret_cast<uintptr_t>(begin);
    range.end.store(start + size, std::memory_order_relaxed);
    range.begin.store(start, std::memory_order_release);
    int seen = guard.high_water.load(std::memory_order_relaxed);
    while (seen < slot + 1 && !guard.high_water.compare_exchange_weak(seen, slot + 1)) {
    }
    return slot;
  }
  return Error(ErrorKind::kOutOfMemory, "more than " + std::to_string(kMaxRanges) +
                                            " files are mapped at once: unload a model first");
}

void remove_range(int slot) {
  Range& range = guard.ranges[slot];
  range.begin.store(0, std::memory_order_release);
  range.used.store(false, std::memory_order_release);
}

bool poisoned(int slot) { return guard.ranges[slot].poisoned.load(std::memory_order_seq_cst); }

}  // namespace quern::bus_guard
