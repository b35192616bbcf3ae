// The element types of safetensors files and their values as floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quern::safetensors {

enum class DType : uint8_t {
#define QUERN_DTYPE(id, name, bytes) id,
#include "models/safetensors/dtype_list.inc"
#undef QUERN_DTYPE
};

std::string_view dtype_name(DType dtype);
uint64_t dtype_bytes(DType dtype);
std::optional<DType> find_dtype(std::string_view name);
// "BOOL, U8, ...": for messages.
std::string dtype_names();

// Whether decode_floats() takes it: F16, BF16, F32, F64, F8_E4M3, F8_E5M2.
bool is_float(DType dtype);

// Decodes n_values of a float type from `from`, at any alignment, to `to`. Exact but for F64, which
// is rounded to nearest. Precondition: is_float(dtype).
void decode_floats(DType dtype, const std::byte* from, float* to, uint64_t n_values);

}  // namespace quern::safetensors
