// The tensor formats: one row of facts per format, looked up by id, GGUF code or name.
//
// A tensor format says how the bytes of one tensor are laid out (Q4_K); a file recipe (Q4_K_M) says
// which tensor gets which format and lives in models/convert. The single list of formats is
// format_list.inc; everything else (sizes, names, tests, tables in the README) derives from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/formats/format_family.h"

namespace quern::formats {

// Dense; the order is that of format_list.inc.
enum class FormatId : uint8_t {
#define QUERN_FORMAT(id, name, traits) id,
#include "kernels/formats/format_list.inc"
#undef QUERN_FORMAT
  kCount,
};

inline constexpr size_t kFormatCount = static_cast<size_t>(FormatId::kCount);

struct FormatInfo {
  FormatId id;
  std::string_view name;  // as users write it: "Q4_K"
  uint32_t gguf_code;     // number in the file
  FormatFamily family;
  int block_values;  // values in one block (1 for float formats)
  int block_bytes;   // bytes in one block
  // Values that share one scale (16, 32, ...); 0 for float and integer formats.
  int group_values;
  bool has_min;  // value = scale * q - min rather than scale * q

  // Decodes `n_values` (a multiple of block_values) from `src` (unaligned is fine) into `dst`,
  // bit-equal to the published definition. Null only for integer tensors (I8..I64), which carry
  // no weights.
  void (*decode_row)(const std::byte* src, float* dst, int64_t n_values);
  // Encodes by round-to-nearest without importance weights; null while the format is read-only.
  void (*encode_row)(const float* src, std::byte* dst, int64_t n_values);

  bool quantized() const { return group_values != 0; }
  double bits_per_value() const { return 8.0 * block_bytes / block_values; }
};

const FormatInfo& format_info(FormatId id);
std::span<const FormatInfo> all_formats();
// Null when no such format exists (retired codes included).
const FormatInfo* find_format_by_gguf_code(uint32_t code);
// Case-insensitive.
const FormatInfo* find_format_by_name(std::string_view name);

// Bytes of a row of `n_values`, or nothing when n_values is not a multiple of the block or the
// size overflows.
std::optional<uint64_t> row_bytes(const FormatInfo& format, uint64_t n_values);

}  // namespace quern::formats
