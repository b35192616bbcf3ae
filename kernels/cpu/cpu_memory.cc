#include "kernels/cpu/cpu_memory.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include "config/base/checked.h"

namespace quern::cpu {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMapFrom = size_t{1} << 20;
constexpr size_t kHugePage = size_t{2} << 20;
// Larger memory holds keys and values, which fill bit by bit in all layers at once: there the first
// touch of a large page, which clears 2 MiB in each plane of each layer, would stop a step for a
// quarter of a second.
constexpr size_t kHugePagesUpTo = size_t{64} << 20;

class HeapBuffer final : public backend::Buffer {
 public:
  HeapBuffer(void* data, size_t size) : data_(static_cast<std::byte*>(data)), size_(size) {}
  ~HeapBuffer() override { std::free(data_); }
  HeapBuffer(const HeapBuffer&) = delete;
  HeapBuffer& operator=(const HeapBuffer&) = delete;

  std::byte* data() override { return data_; }
  size_t size() const override { return size_; }

 private:
  std::byte* data_;
  size_t size_;
};

class MappedBuffer final : public backend::Buffer {
 public:
  MappedBuffer(void* data, size_t size, size_t mapped)
      : data_(static_cast<std::byte*>(data)), size_(size), mapped_(mapped) {}
  ~MappedBuffer() override { ::munmap(data_, mapped_); }
  MappedBuffer(const MappedBuffer&) = delete;
  MappedBuffer& operator=(const MappedBuffer&) = delete;

  std::byte* data() override { return data_; }
  size_t size() const override { return size_; }

 private:
  std::byte* data_;
  size_t size_;
  size_t mapped_;
};

Error out_of_memory(size_t bytes, std::string_view what) {
  return Error(ErrorKind::kOutOfMemory, "Cannot allocate " + std::to_string(bytes) +
                                            " bytes for the " + std::string(what) +
                                            "; free memory or lower the context or batch size.");
}

// Untouched pages of the kernel's, `bytes` rounded up to `alignment`.
Result<std::unique_ptr<backend::Buffer>> map_pages(size_t bytes, size_t alignment, int advice,
                                                   std::string_view what) {
  const auto rounded = checked_align_up(std::max<size_t>(bytes, 1), alignment);
  if (!rounded) return out_of_memory(bytes, what);
  void* data =
      ::mmap(nullptr, *rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return out_of_memory(bytes, what);
  (void)::madvise(data, *rounded, advice);  // best effort
  return std::unique_ptr<backend::Buffer>(std::make_unique<MappedBuffer>(data, bytes, *rounded));
}

}  // namespace

Result<std::unique_ptr<backend::Buffer>> allocate_host(size_t bytes, std::string_view what) {
  // Large pages: fewer address translations.
  const int advice = bytes <= kHugePagesUpTo ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
  if (bytes >= kMapFrom) return map_pages(bytes, kHugePage, advice, what);
  const size_t rounded = bytes == 0 ? kAlignment : (bytes + kAlignment - 1) & ~(kAlignment - 1);
  void* data = std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr) return out_of_memory(bytes, what);
  std::memset(data, 0, rounded);
  return std::unique_ptr<backend::Buffer>(std::make_unique<HeapBuffer>(data, bytes));
}

Result<std::unique_ptr<backend::Buffer>> allocate_thread_pages(size_t bytes,
                                                               std::string_view what) {
  // Large pages would be shared by threads of several nodes.
  return map_pages(bytes, kThreadPage, MADV_NOHUGEPAGE, what);
}

void spread_over_nodes(backend::Buffer& buffer, std::span<const int> nodes) {
  if (buffer.size() < kMapFrom) return;
  constexpr unsigned long kInterleave = 3;  // MPOL_INTERLEAVE of linux/mempolicy.h
  constexpr size_t kBits = sizeof(unsigned long) * 8;
  std::array<unsigned long, 16> mask{};
  for (const int node : nodes) {
    const auto bit = static_cast<size_t>(node);
    if (bit < mask.size() * kBits) mask[bit / kBits] |= 1UL << (bit % kBits);
  }
  (void)::syscall(SYS_mbind, buffer.data(), buffer.size(), kInterleave, mask.data(),
                  mask.size() * kBits, 0U);
}

}  // namespace quern::cpu
