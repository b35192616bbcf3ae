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

void copy_row(const QuantizedRows& from, int64_t source, const QuantizedRows& to, int64_t target,
              int64_t n_in) {
  const QuantizedRows a = from_row(from, source);
  const QuantizedRows b = from_row(to, target);
  const int64_t n_blocks = n_in / 32;
  std::copy_n(a.q, n_in, b.q);
  std::copy_n(a.d, n_blocks, b.d);
  std::copy_n(a.sum_d32, n_blocks, b.sum_d32);
  std::copy_n(a.neg_sum32, n_blocks, b.neg_sum32);
  std::copy_n(a.sum_d16, 2 * n_blocks, b.sum_d16);
  std::copy_n(a.neg_sum16, 2 * n_blocks, b.neg_sum16);
}

Status ActivationStore::reserve(int64_t n_rows, int64_t n_in) {
  // One line more than a multiple of 64, so that the columns of a tile fall into different sets of
  // the L1 cache.
  rows_.q_stride = line_up(n_in) + kLine;
  rows_.block_stride = (n_in / 32 + 15) / 16 * 16 + 16;
  const int64_t per_row = rows_.q_stride + 7 * rows_.block_stride * int64_t{sizeof(float)};
  const auto bytes = checked_mul(static_cast<uint64_t>(n_rows), static_cast<uint64_t>(per_row));
  if (!bytes || *bytes > SIZE_MAX / 2) {
    return Error(ErrorKind::kOutOfMemory, "The batch is too large for quantized activations.");
  }
  QUERN_RETURN_IF_ERROR(memory_.reserve(*bytes, "quantized activations"));
  Carver carver(memory_.data());
  rows_.q = carver.take<int8_t>(n_rows * rows_.q_stride);
  rows_.d = carver.take<float>(n_rows * rows_.block_stride);
  rows_.sum_d32 = carver.take<float>(n_rows * rows_.block_stride);
  rows_.neg_sum32 = carver.take<int32_t>(n_rows * rows_.block_stride);
  rows_.sum_d16 = carver.take<float>(2 * n_rows * rows_.block_stride);
  rows_.neg_sum16 = carver.take<int32_t>(2 * n_rows * rows_.block_stride);
  return ok_status();
}

QuantizeTask ActivationStore::task(const float* x, int64_t x_stride, int64_t first,
                                   int64_t n) const {
  QuantizedRows part = rows_;
  part.q += first;
  part.d += first / 32;
  part.sum_d32 += first / 32;
  part.neg_sum32 += first / 32;
  part.sum_d16 += first / 16;
  part.neg_sum16 += first / 16;
  return {x + first, x_stride, n, part};
}

Status WorkerScratch::reserve_matmul(int64_t decoded_values) {
  if (decoded_values <= decoded_values_) return ok_status();
  const int64_t decoded = decoded_values * kPanelRows;
  const int64_t per_worker =
      page_up(line_up(kPanelBytes) + 2 * line_up(kPanelGroups * 4) + line_up(kAccumulators * 4) +
              line_up(decoded * 4) + line_up(kTailBytes) + kLine + 3 * line_up(kTileScales * 4));
  QUERN_RETURN_IF_ERROR(matmul_memory_.reserve(static_cast<size_t>(per_worker) * matmul_.size(),
                                               "workers of the matrix product"));
  std::byte* memory = matmul_memory_.data();
  for (MatmulScratch& scratch : matmul_) {
    Carver carver(memory);
    scratch.panel.q = carver.take<uint8_t>(kPanelBytes);
    scratch.panel.scale = carver.take<float>(kPanelGroups);
    scratch.panel.min = carver.take<float>(kPanelGroups);
    scratch.accumulator = carver.take<float>(kAccumulators);
    scratch.decoded = carver.take<float>(decoded);
    scratch.tail = carver.take<std::byte>(kTailBytes);
    scratch.following = carver.take<const std::byte*>(1);
    scratch.tile_d = carver.take<float>(kTileScales);
    scratch.tile_sum_d = carver.take<float>(2 * kTileScales);
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
