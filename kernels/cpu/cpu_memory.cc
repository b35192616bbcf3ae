#include "kernels/cpu/cpu_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "config/base/checked.h"

namespace quern::cpu {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMapFrom = size_t{1} << 20;
constexpr size_t kHugePage = size_t{2} << 20;

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

}  // namespace

Result<std::unique_ptr<backend::Buffer>> allocate_host(size_t bytes, std::string_view what) {
  if (bytes < kMapFrom) {
    const size_t rounded = bytes == 0 ? kAlignment : (bytes + kAlignment - 1) & ~(kAlignment - 1);
    void* data = std::aligned_alloc(kAlignment, rounded);
    if (data == nullptr) return out_of_memory(bytes, what);
    std::memset(data, 0, rounded);
    return std::unique_ptr<backend::Buffer>(std::make_unique<HeapBuffer>(data, bytes));
  }
  const auto rounded = checked_align_up(bytes, kHugePage);
  if (!rounded) return out_of_memory(bytes, what);
  void* data =
      ::mmap(nullptr, *rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return out_of_memory(bytes, what);
  // Best effort: fewer address translations.
  (void)::madvise(data, *rounded, MADV_HUGEPAGE);
  return std::unique_ptr<backend::Buffer>(std::make_unique<MappedBuffer>(data, bytes, *rounded));
}

}  // namespace quern::cpu
