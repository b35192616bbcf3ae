#include "models/safetensors/dtype.h"

#include <iterator>

#include "config/base/check.h"
#include "config/base/checked.h"
#include "config/base/half.h"

namespace quern::safetensors {
namespace {

struct Row {
  std::string_view name;
  uint64_t bytes;
};
constexpr Row kRows[] = {
#define QUERN_DTYPE(id, name, bytes) {name, bytes},
#include "models/safetensors/dtype_list.inc"
#undef QUERN_DTYPE
};

const Row& row(DType dtype) { return kRows[static_cast<size_t>(dtype)]; }

template <typename Stored, typename Convert>
void decode(const std::byte* from, float* to, uint64_t n_values, Convert convert) {
  for (uint64_t i = 0; i < n_values; ++i) {
    to[i] = convert(load_unaligned<Stored>(from + i * sizeof(Stored)));
  }
}

}  // namespace

std::string_view dtype_name(DType dtype) { return row(dtype).name; }
uint64_t dtype_bytes(DType dtype) { return row(dtype).bytes; }

std::optional<DType> find_dtype(std::string_view name) {
  for (size_t i = 0; i < std::size(kRows); ++i) {
    if (kRows[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::string dtype_names() {
  std::string text;
  for (const Row& row : kRows) {
    if (!text.empty()) text += ", ";
    text += row.name;
  }
  return text;
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF64 || dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2;
}

void decode_floats(DType dtype, const std::byte* from, float* to, uint64_t n_values) {
  CHECK(is_float(dtype));
  if (dtype == DType::kF32) {
    decode<float>(from, to, n_values, [](float value) { return value; });
  } else if (dtype == DType::kF16) {
    decode<uint16_t>(from, to, n_values, f16_to_f32);
  } else if (dtype == DType::kBF16) {
    decode<uint16_t>(from, to, n_values, bf16_to_f32);
  } else if (dtype == DType::kF64) {
    decode<double>(from, to, n_values, [](double value) { return static_cast<float>(value); });
  } else if (dtype == DType::kF8E4M3) {
    decode<uint8_t>(from, to, n_values, e4m3_to_f32);
  } else {
    decode<uint8_t>(from, to, n_values, e5m2_to_f32);
  }
}

}  // namespace quern::safetensors
