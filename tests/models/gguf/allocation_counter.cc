// Replaces the global operator new and delete; sizes come from the allocator itself.
#include "tests/models/gguf/allocation_counter.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> held{0};
std::atomic<size_t> highest{0};
std::atomic<size_t> base{0};

void* count_in(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  const size_t now = held.fetch_add(malloc_usable_size(memory)) + malloc_usable_size(memory);
  size_t seen = highest.load();
  while (seen < now && !highest.compare_exchange_weak(seen, now)) {
  }
  return memory;
}

void count_out(void* memory) {
  if (memory == nullptr) return;
  held.fetch_sub(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) { return count_in(std::malloc(size == 0 ? 1 : size)); }
void* operator new[](size_t size) { return count_in(std::malloc(size == 0 ? 1 : size)); }
void operator delete(void* memory) noexcept { count_out(memory); }
void operator delete[](void* memory) noexcept { count_out(memory); }
void operator delete(void* memory, size_t) noexcept { count_out(memory); }
void operator delete[](void* memory, size_t) noexcept { count_out(memory); }

namespace quern::gguf {

size_t peak_bytes() { return highest.load() - base.load(); }

void reset_peak() {
  base = held.load();
  highest = held.load();
}

}  // namespace quern::gguf
