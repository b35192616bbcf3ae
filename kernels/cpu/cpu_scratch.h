// Memory that the CPU backend's operations reuse: quantized activations, and one block per worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "kernels/cpu/cpu_memory.h"
#include "kernels/cpu/format_kernels.h"
#include "kernels/cpu/kernel_types.h"

namespace quern::cpu {

// One block of memory that only grows.
class GrowingBuffer {
 public:
  using Allocate = Result<std::unique_ptr<backend::Buffer>> (*)(size_t bytes,
                                                                std::string_view what);
  explicit GrowingBuffer(Allocate allocate = allocate_host) : allocate_(allocate) {}

  // At least `bytes` bytes; the old contents are gone if it grew.
  Status reserve(size_t bytes, const char* what);
  std::byte* data() { return buffer_ ? buffer_->data() : nullptr; }

 private:
  Allocate allocate_;
  std::unique_ptr<backend::Buffer> buffer_;
};

// A set of forms of activations.
struct ActivationForms {
  bool floats = false;
  bool blocks = false;
  bool super_blocks = false;

  static ActivationForms of(ActivationForm form);
  void add(const ActivationForms& other);
  // Those of this set that are not in `other`.
  ActivationForms without(const ActivationForms& other) const;
  bool quantized() const { return blocks || super_blocks; }
  // Of what number of values quantized rows are cut into blocks; 1 if there are no such.
  int64_t block_values() const { return super_blocks ? kSuperValues : blocks ? 32 : 1; }
};

// The same planes from row `first` on.
QuantizedRows from_row(const QuantizedRows& rows, int64_t first);
SuperRows from_row(const SuperRows& rows, int64_t first);

// Planes for `n_rows` activation rows of `n_in` values in quantized forms, each of them in memory
// of its own.
class ActivationStore {
 public:
  // Room for the given forms; the rows in other ones stay.
  Status reserve(const ActivationForms& forms, int64_t n_rows, int64_t n_in);
  const QuantizedRows& rows() const { return rows_; }
  const SuperRows& super_rows() const { return super_rows_; }
  // The task of quantizing n values of each row of x from value `first`; both are whole blocks of
  // the forms.
  QuantizeTask task(const ActivationForms& forms, const float* x, int64_t x_stride, int64_t first,
                    int64_t n) const;
  // Copies a row of n_in values in the given forms to a row here.
  void copy_row(const ActivationForms& forms, const ActivationStore& from, int64_t source,
                int64_t target, int64_t n_in);

 private:
  Status reserve_blocks(int64_t n_rows, int64_t n_in);
  Status reserve_super_blocks(int64_t n_rows, int64_t n_in);

  GrowingBuffer memory_;
  GrowingBuffer super_memory_;
  QuantizedRows rows_{};
  SuperRows super_rows_{};
};

// Scratch of each worker of the pool, in pages of its own that it touches first.
class WorkerScratch {
 public:
  explicit WorkerScratch(int n_workers) : matmul_(n_workers), attention_(n_workers) {}

  // `decoded_values`: values of a row that matmul_decoded needs room for, or 0.
  Status reserve_matmul(int64_t decoded_values);
  Status reserve_attention(size_t bytes_per_worker);
  const MatmulScratch& matmul(int worker) const { return matmul_[static_cast<size_t>(worker)]; }
  std::byte* attention(int worker) const { return attention_[static_cast<size_t>(worker)]; }

 private:
  GrowingBuffer matmul_memory_{allocate_thread_pages};
  GrowingBuffer attention_memory_{allocate_thread_pages};
  int64_t decoded_values_ = -1;
  std::vector<MatmulScratch> matmul_;
  std::vector<std::byte*> attention_;
};

}  // namespace quern::cpu
