// How small the pieces may be into which an operation is cut for the threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace quern::cpu {

// Values an element-wise piece has at least, so that a piece outweighs handing it out (about a
// microsecond).
inline constexpr int64_t kPieceValues = 16384;
// The rows of n_cols values that makes.
constexpr int64_t rows_per_piece(int64_t n_cols) {
  return std::max<int64_t>(1, kPieceValues / std::max<int64_t>(1, n_cols));
}
// Multiply-adds a piece of a matrix product has at least.
inline constexpr int64_t kPieceProducts = 64 * 1024;
// Pieces per thread at most, for an even finish.
inline constexpr int64_t kPiecesPerThread = 16;
// Units per thread at least where a piece is whole units, for the same reason.
inline constexpr int64_t kUnitsPerThread = 8;

}  // namespace quern::cpu
