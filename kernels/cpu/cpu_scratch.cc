#include "kernels/cpu/cpu_scratch.h"

#include <algorithm>

#include "config/base/checked.h"

namespace quern::cpu {
namespace {

constexpr int64_t kLine = 64;

int64_t line_up(int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }
int64_t page_up(int64_t bytes) {
  constexpr auto kPage = static_cast<int64_t>(kThreadPage);
  return (bytes + kPage - 1) / kPage * kPage;
}

// Hands out consecutive aligned pieces of a block.
class Carver {
 public:
  explicit Carver(std::byte* memory) : next_(memory) {}

  template <typename T>
  T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(next_);
    next_ += line_up(count * static_cast<int64_t>(sizeof(T)));
    return piece;
  }

 private:
  std::byte* next_;
};

constexpr int64_t kPanelBytes = int64_t{kChunkValues} * kPanelRows;
constexpr int64_t kPanelGroups = int64_t{kChunkValues} / 16 * kPanelRows;
constexpr int64_t kAccumulators = int64_t{kTilePanels} * kMaxPassColumns * kPanelRows;
constexpr int64_t kTileScales = int64_t{kTileScaleBlocks} * kChunkValues / 32 * 16;
constexpr int64_t kPanelPairs = int64_t{kChunkValues} / 32 * kPanelRows;
constexpr int64_t kSuperPanels = 2;

Result<size_t> bytes_of_rows(int64_t n_rows, int64_t per_row) {
  const auto bytes = checked_mul(static_cast<uint64_t>(n_rows), static_cast<uint64_t>(per_row));
  if (!bytes || *bytes > SIZE_MAX / 2) {
    return Error(ErrorKind::kOutOfMemory, "The batch is too large for quantized activations.");
  }
  constexpr size_t kPlanes = 6;  // at most; each begins on a line
  return static_cast<size_t>(*bytes) + kPlanes * static_cast<size_t>(kLine);
}

}  // namespace

Status GrowingBuffer::reserve(size_t bytes, const char* what) {
  if (buffer_ != nullptr && buffer_->size() >= bytes) return ok_status();
  buffer_.reset();
  QUERN_ASSIGN_OR_RETURN(buffer_, allocate_(bytes, what));
  return ok_status();
}

QuantizedRows from_row(const QuantizedRows& rows, int64_t first) {
  QuantizedRows out = rows;
  out.q += first * rows.q_stride;
  out.d += first * rows.block_stride;
  out.sum_d32 += first * rows.block_stride;
  out.neg_sum32 += first * rows.block_stride;
  out.sum_d16 += 2 * first * rows.block_stride;
  out.neg_sum16 += 2 * first * rows.block_stride;
  return out;
}

SuperRows from_row(const SuperRows& rows, int64_t first) {
  SuperRows out = rows;
  out.q += first * kSuperValues;
  out.d += first;
  out.sums += first * kSuperHalves;
  out.sum_parts += first * kSuperHalves;
  return out;
}

ActivationForms ActivationForms::of(ActivationForm form) {
  return {form == ActivationForm::kFloats, form == ActivationForm::kBlocks,
          form == ActivationForm::kSuperBlocks};
}

void ActivationForms::add(const ActivationForms& other) {
  floats |= other.floats;
  blocks |= other.blocks;
  super_blocks |= other.super_blocks;
}

ActivationForms ActivationForms::without(const ActivationForms& other) const {
  return {floats && !other.floats, blocks && !other.blocks, super_blocks && !other.super_blocks};
}

Status ActivationStore::reserve(const ActivationForms& forms, int64_t n_rows, int64_t n_in) {
  if (forms.blocks) QUERN_RETURN_IF_ERROR(reserve_blocks(n_rows, n_in));
  return forms.super_blocks ? reserve_super_blocks(n_rows, n_in) : ok_status();
}

Status ActivationStore::reserve_blocks(int64_t n_rows, int64_t n_in) {
  // One line more than a multiple of 64, so that the columns of a tile fall into different sets of
  // the L1 cache.
  rows_.q_stride = line_up(n_in) + kLine;
  rows_.block_stride = (n_in / 32 + 15) / 16 * 16 + 16;
  const int64_t per_row = rows_.q_stride + 7 * rows_.block_stride * int64_t{sizeof(float)};
  QUERN_ASSIGN_OR_RETURN(const size_t bytes, bytes_of_rows(n_rows, per_row));
  QUERN_RETURN_IF_ERROR(memory_.reserve(bytes, "quantized activations"));
  Carver carver(memory_.data());
  rows_.q = carver.take<int8_t>(n_rows * rows_.q_stride);
  rows_.d = carver.take<float>(n_rows * rows_.block_stride);
  rows_.sum_d32 = carver.take<float>(n_rows * rows_.block_stride);
  rows_.neg_sum32 = carver.take<int32_t>(n_rows * rows_.block_stride);
  rows_.sum_d16 = carver.take<float>(2 * n_rows * rows_.block_stride);
  rows_.neg_sum16 = carver.take<int32_t>(2 * n_rows * rows_.block_stride);
  return ok_status();
}

Status ActivationStore::reserve_super_blocks(int64_t n_rows, int64_t n_in) {
  SuperRows& rows = super_rows_;
  rows.block_rows = n_rows;
  constexpr int64_t kBlockBytes = kSuperValues + 4 + kSuperHalves * (2 + 4);
  const int64_t n_blocks = n_in / kSuperValues;
  QUERN_ASSIGN_OR_RETURN(
      const size_t bytes,
      bytes_of_rows(n_rows + kSpareSuperRows, std::max<int64_t>(1, n_blocks) * kBlockBytes));
  QUERN_RETURN_IF_ERROR(super_memory_.reserve(bytes, "quantized activations"));
  Carver carver(super_memory_.data());
  const int64_t all_rows = n_blocks * n_rows + kSpareSuperRows;
  rows.q = carver.take<int8_t>(all_rows * kSuperValues);
  rows.d = carver.take<float>(all_rows);
  rows.sums = carver.take<int16_t>(all_rows * kSuperHalves);
  rows.sum_parts = carver.take<uint32_t>(all_rows * kSuperHalves);
  return ok_status();
}

QuantizeTask ActivationStore::task(const ActivationForms& forms, const float* x, int64_t x_stride,
                                   int64_t first, int64_t n) const {
  QuantizeTask task{x + first, x_stride, n, {}, {}};
  if (forms.blocks) {
    task.out = rows_;
    task.out.q += first;
    task.out.d += first / 32;
    task.out.sum_d32 += first / 32;
    task.out.neg_sum32 += first / 32;
    task.out.sum_d16 += first / 16;
    task.out.neg_sum16 += first / 16;
  }
  if (forms.super_blocks) {
    task.super_out = from_row(super_rows_, first / kSuperValues * super_rows_.block_rows);
  }
  return task;
}

void ActivationStore::copy_row(const ActivationForms& forms, const ActivationStore& from,
                               int64_t source, int64_t target, int64_t n_in) {
  if (forms.blocks) {
    const QuantizedRows a = from_row(from.rows_, source);
    const QuantizedRows b = from_row(rows_, target);
    const int64_t n_blocks = n_in / 32;
    std::copy_n(a.q, n_in, b.q);
    std::copy_n(a.d, n_blocks, b.d);
    std::copy_n(a.sum_d32, n_blocks, b.sum_d32);
    std::copy_n(a.neg_sum32, n_blocks, b.neg_sum32);
    std::copy_n(a.sum_d16, 2 * n_blocks, b.sum_d16);
    std::copy_n(a.neg_sum16, 2 * n_blocks, b.neg_sum16);
  }
  if (forms.super_blocks) {
    for (int64_t block = 0; block < n_in / kSuperValues; ++block) {
      const SuperRows a = from_row(from.super_rows_, block * from.super_rows_.block_rows + source);
      const SuperRows b = from_row(super_rows_, block * super_rows_.block_rows + target);
      std::copy_n(a.q, kSuperValues, b.q);
      *b.d = *a.d;
      std::copy_n(a.sums, kSuperHalves, b.sums);
      std::copy_n(a.sum_parts, kSuperHalves, b.sum_parts);
    }
  }
}

Status WorkerScratch::reserve_matmul(int64_t decoded_values) {
  if (decoded_values <= decoded_values_) return ok_status();
  const int64_t decoded = decoded_values * kPanelRows;
  const int64_t per_worker =
      page_up(line_up(kPanelBytes) + 3 * line_up(kPanelGroups * 4) + line_up(kPanelPairs * 4) +
              line_up(kAccumulators * 4) + line_up(decoded * 4) + line_up(kTailBytes) + kLine +
              3 * line_up(kTileScales * 4) + kSuperPanels * int64_t{sizeof(SuperTilePanel)});
  QUERN_RETURN_IF_ERROR(matmul_memory_.reserve(static_cast<size_t>(per_worker) * matmul_.size(),
                                               "workers of the matrix product"));
  std::byte* memory = matmul_memory_.data();
  for (MatmulScratch& scratch : matmul_) {
    Carver carver(memory);
    scratch.panel.q = carver.take<uint8_t>(kPanelBytes);
    scratch.panel.scale = carver.take<float>(kPanelGroups);
    scratch.panel.min = carver.take<float>(kPanelGroups);
    scratch.panel.factor = carver.take<int32_t>(kPanelGroups);
    scratch.panel.pairs = carver.take<int32_t>(kPanelPairs);
    scratch.accumulator = carver.take<float>(kAccumulators);
    scratch.decoded = carver.take<float>(decoded);
    scratch.tail = carver.take<std::byte>(kTailBytes);
    scratch.following = carver.take<const std::byte*>(1);
    scratch.tile_d = carver.take<float>(kTileScales);
    scratch.tile_sum_d = carver.take<float>(2 * kTileScales);
    scratch.super_panels = carver.take<SuperTilePanel>(kSuperPanels);
    memory += per_worker;
  }
  decoded_values_ = decoded_values;
  return ok_status();
}

Status WorkerScratch::reserve_attention(size_t bytes_per_worker) {
  const int64_t per_worker = page_up(static_cast<int64_t>(bytes_per_worker));
  QUERN_RETURN_IF_ERROR(attention_memory_.reserve(
      static_cast<size_t>(per_worker) * attention_.size(), "workers of attention"));
  Carver carver(attention_memory_.data());
  for (std::byte*& memory : attention_) memory = carver.take<std::byte>(per_worker);
  return ok_status();
}

}  // namespace quern::cpu
