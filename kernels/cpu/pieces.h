// How small the pieces may be into which an operation is cut for the threads.
#pragma once

#include <cstdint>

namespace quern::cpu {

// Values an element-wise piece has at least, so that a piece outweighs handing it out (about a
// microsecond).
inline constexpr int64_t kPieceValues = 16384;
// Multiply-adds a piece of a matrix product has at least.
inline constexpr int64_t kPieceProducts = 64 * 1024;
// Pieces per thread at most, for an even finish.
inline constexpr int64_t kPiecesPerThread = 16;

}  // namespace quern::cpu
