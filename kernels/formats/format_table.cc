// Derives the table of formats from format_list.inc and the traits in the block headers.
//
// Nothing here names a single format; what the compiler can check about the list it checks here.
#include <array>
#include <bit>

#include "config/base/check.h"
#include "config/base/checked.h"
#include "kernels/formats/all_blocks.h"
#include "kernels/formats/decode.h"
#include "kernels/formats/encode.h"
#include "kernels/formats/format.h"

namespace quern::formats {
namespace {

template <typename Format>
void decode_row(const std::byte* src, float* dst, int64_t n_values) {
  decode_blocks<Format>(src, dst, n_values);
}

template <typename Format>
constexpr FormatInfo make_info(FormatId id, std::string_view name) {
  static_assert(std::has_single_bit(static_cast<unsigned>(Format::kBlockValues)));
  static_assert(Format::kGroupValues == 0 || Format::kGroupValues == 16 ||
                Format::kGroupValues == 32);
  FormatInfo info{};
  info.id = id;
  info.name = name;
  info.gguf_code = Format::kGgufCode;
  info.family = Format::kFamily;
  info.block_values = Format::kBlockValues;
  info.block_bytes = static_cast<int>(sizeof(typename Format::Block));
  info.group_values = Format::kGroupValues;
  info.has_min = Format::kHasMin;
  if constexpr (kIsQuantized<Format>) {
    static_assert(Format::kBlockValues % Format::kGroupValues == 0);
    static_assert(Format::kQMin >= -128 && Format::kQMin < Format::kQMax && Format::kQMax <= 127);
  }
  if constexpr (Format::kFamily != FormatFamily::kInteger) info.decode_row = decode_row<Format>;
  info.encode_row = kEncodeRow<Format>;
  return info;
}

constexpr std::array<FormatInfo, kFormatCount> kTable = {
#define QUERN_FORMAT(id, name, traits) make_info<traits>(FormatId::id, name),
#include "kernels/formats/format_list.inc"
#undef QUERN_FORMAT
};

constexpr bool table_is_consistent() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<size_t>(kTable[i].id) != i || kTable[i].name.empty()) return false;
    for (size_t j = 0; j < i; ++j) {
      if (kTable[i].name == kTable[j].name || kTable[i].gguf_code == kTable[j].gguf_code) {
        return false;
      }
    }
  }
  return true;
}
static_assert(table_is_consistent(), "format ids must be dense, names and GGUF codes unique");

constexpr char to_upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (to_upper(a[i]) != to_upper(b[i])) return false;
  }
  return true;
}

}  // namespace

const FormatInfo& format_info(FormatId id) {
  CHECK(static_cast<size_t>(id) < kFormatCount);
  return kTable[static_cast<size_t>(id)];
}

std::span<const FormatInfo> all_formats() { return kTable; }

const FormatInfo* find_format_by_gguf_code(uint32_t code) {
  for (const FormatInfo& info : kTable) {
    if (info.gguf_code == code) return &info;
  }
  return nullptr;
}

const FormatInfo* find_format_by_name(std::string_view name) {
  for (const FormatInfo& info : kTable) {
    if (equal_ignoring_case(info.name, name)) return &info;
  }
  return nullptr;
}

std::optional<uint64_t> row_bytes(const FormatInfo& format, uint64_t n_values) {
  const auto block_values = static_cast<uint64_t>(format.block_values);
  if (n_values % block_values != 0) return std::nullopt;
  return checked_mul(n_values / block_values, static_cast<uint64_t>(format.block_bytes));
}

}  // namespace quern::formats
