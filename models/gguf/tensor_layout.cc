// No sum of sizes is formed: each tensor lies inside the file and none overlap, so their total
// cannot exceed the file.
#include "models/gguf/tensor_layout.h"

#include <algorithm>
#include <limits>
#include <string>

#include "config/base/checked.h"
#include "models/gguf/name_rules.h"

namespace quern::gguf {
namespace {

constexpr std::string_view kTruncated = "; the file is truncated: download it again";
constexpr std::string_view kCorrupt =
    "; the file is corrupt: download it again or convert the model anew";

struct Extent {
  uint64_t begin;  // from the start of the data
  uint64_t size;
  size_t tensor;
  uint64_t end() const { return begin + size; }  // only after the bounds were checked
};

Error tensor_error(const TensorInfo& tensor, const std::string& what, std::string_view advice) {
  return Error(ErrorKind::kInvalidInput,
               "tensor '" + printable(tensor.name) + "' " + what + std::string(advice));
}

// Whether the tensors follow each other as every writer lays them out. Then a tensor past the end
// means that the end is missing; otherwise an offset is wrong.
bool laid_out_in_order(std::span<const Extent> extents, uint64_t alignment) {
  uint64_t expected = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != expected) return false;
    const auto end = checked_add(extent.begin, extent.size);
    const auto next = end ? checked_align_up(*end, alignment) : std::nullopt;
    if (!next) return false;
    expected = *next;
  }
  return true;
}

Status check_overlaps(std::span<const TensorInfo> tensors, std::vector<Extent>& extents) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < extents.size(); ++i) {
    const Extent& before = extents[i - 1];
    if (before.end() <= extents[i].begin) continue;
    return tensor_error(tensors[extents[i].tensor],
                        "at data offset " + std::to_string(extents[i].begin) +
                            " overlaps tensor '" + printable(tensors[before.tensor].name) +
                            "', which ends at " + std::to_string(before.end()),
                        kCorrupt);
  }
  return ok_status();
}

}  // namespace

Result<uint64_t> tensor_bytes(const TensorInfo& tensor) {
  const formats::FormatInfo& format = formats::format_info(tensor.format);
  const auto block = static_cast<uint64_t>(format.block_values);
  if (tensor.dims[0] % block != 0) {
    return tensor_error(tensor,
                        "has rows of " + std::to_string(tensor.dims[0]) + " values, expected a " +
                            "multiple of the " + std::string(format.name) + " block of " +
                            std::to_string(block),
                        kCorrupt);
  }
  auto values = std::optional<uint64_t>(tensor.dims[0]);
  auto size = formats::row_bytes(format, tensor.dims[0]);
  for (size_t i = 1; i < tensor.dims.size(); ++i) {
    values = values ? checked_mul(*values, tensor.dims[i]) : std::nullopt;
    size = size ? checked_mul(*size, tensor.dims[i]) : std::nullopt;
  }
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (!values || !size || *values > kMost || *size > kMost) {
    return tensor_error(tensor, "has dimensions whose product overflows", kCorrupt);
  }
  return *size;
}

Status place_tensors(std::span<TensorInfo> tensors, std::span<const uint64_t> offsets,
                     std::span<const std::byte> bytes, uint64_t data_start, uint64_t alignment) {
  const uint64_t available = bytes.size() > data_start ? bytes.size() - data_start : 0;
  std::vector<Extent> extents;
  extents.reserve(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    QUERN_ASSIGN_OR_RETURN(const uint64_t size, tensor_bytes(tensors[i]));
    if (offsets[i] % alignment != 0) {
      return tensor_error(tensors[i],
                          "has data offset " + std::to_string(offsets[i]) +
                              ", expected a multiple of the alignment " + std::to_string(alignment),
                          kCorrupt);
    }
    extents.push_back({offsets[i], size, i});
  }
  const bool in_order = laid_out_in_order(extents, alignment);
  for (const Extent& extent : extents) {
    TensorInfo& tensor = tensors[extent.tensor];
    if (!range_fits(extent.begin, extent.size, available)) {
      return tensor_error(tensor,
                          "needs " + std::to_string(extent.size) + " bytes at data offset " +
                              std::to_string(extent.begin) + ", but the data has " +
                              std::to_string(available) + " bytes (from byte " +
                              std::to_string(data_start) + " of the file)",
                          in_order ? kTruncated : kCorrupt);
    }
    tensor.data = bytes.subspan(data_start + extent.begin, extent.size);
  }
  return check_overlaps(tensors, extents);
}

}  // namespace quern::gguf
