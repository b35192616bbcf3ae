// Constants and limits of the GGUF container: everything that bounds what a file may ask for.
//
// The limits are the single list; the reader enforces them, the documentation quotes them.
//
//   magic "GGUF" | u32 version | u64 n_tensors | u64 n_kv
//   n_kv      x  u64 length, key bytes | u32 kind | value
//   n_tensors x  u64 length, name bytes | u32 n_dims | u64 dims[n_dims] | u32 format | u64 offset
//   zero bytes up to a multiple of the alignment
//   tensor data; offsets count from here and are multiples of the alignment
//
// Everything is little-endian. Source: GGUF specification (ggml-org/ggml docs/gguf.md).
#pragma once

#include <cstdint>
#include <string_view>

namespace quern::gguf {

inline constexpr std::string_view kMagic = "GGUF";
inline constexpr uint32_t kVersionOldest = 2;  // version 1 had 32-bit lengths
inline constexpr uint32_t kVersionNewest = 3;
inline constexpr uint64_t kHeaderBytes = 24;

inline constexpr uint64_t kAlignmentDefault = 32;
inline constexpr std::string_view kAlignmentKey = "general.alignment";
inline constexpr std::string_view kSplitCountKey = "split.count";
inline constexpr std::string_view kSplitNumberKey = "split.no";
inline constexpr std::string_view kSplitTensorsKey = "split.tensors.count";

// Limits, each far above what published files use.
struct Limits {
  static constexpr uint64_t kPairs = 65'536;    // key-value pairs
  static constexpr uint64_t kTensors = 65'536;  // in all shards together
  static constexpr uint64_t kKeyBytes = 65'535;
  static constexpr uint64_t kStringBytes = 16u << 20;  // one string value
  static constexpr uint64_t kArrayValues = 64u << 20;  // no nesting
  static constexpr uint64_t kNameBytes = 63;           // tensor name
  static constexpr uint32_t kDims = 4;
  static constexpr uint64_t kAlignment = 65'536;
  static constexpr uint64_t kShards = 1'024;
};

// Bytes of the shortest possible records, to refuse counts that cannot fit what remains.
inline constexpr uint64_t kMinPairBytes = 8 + 1 + 4 + 1;
inline constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

}  // namespace quern::gguf
