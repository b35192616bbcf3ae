// The encoders behind FormatInfo::encode_row: round-to-nearest, no importance weights, no search.
//
// encode_row<Format> is null for formats that are read-only here. A new encoder is one function
// and one specialization below.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/formats/all_blocks.h"

namespace quern::formats {

// Encodes n_values (a multiple of the block) from `src` to `dst`. Inputs are expected to be finite;
// other values encode to something of the right size without trapping.
using EncodeRow = void (*)(const float* src, std::byte* dst, int64_t n_values);

void encode_row_f32(const float* src, std::byte* dst, int64_t n_values);
void encode_row_f16(const float* src, std::byte* dst, int64_t n_values);
void encode_row_bf16(const float* src, std::byte* dst, int64_t n_values);
void encode_row_f64(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q4_0(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q4_1(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q5_0(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q5_1(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q8_0(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q2_k(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q3_k(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q4_k(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q5_k(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q6_k(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q8_k(const float* src, std::byte* dst, int64_t n_values);
void encode_row_q8_1(const float* src, std::byte* dst, int64_t n_values);
void encode_row_iq4_nl(const float* src, std::byte* dst, int64_t n_values);
void encode_row_iq4_xs(const float* src, std::byte* dst, int64_t n_values);
void encode_row_tq1_0(const float* src, std::byte* dst, int64_t n_values);
void encode_row_tq2_0(const float* src, std::byte* dst, int64_t n_values);
void encode_row_mxfp4(const float* src, std::byte* dst, int64_t n_values);

template <typename Format>
inline constexpr EncodeRow kEncodeRow = nullptr;

template <>
inline constexpr EncodeRow kEncodeRow<FormatF32> = encode_row_f32;
template <>
inline constexpr EncodeRow kEncodeRow<FormatF16> = encode_row_f16;
template <>
inline constexpr EncodeRow kEncodeRow<FormatBF16> = encode_row_bf16;
template <>
inline constexpr EncodeRow kEncodeRow<FormatF64> = encode_row_f64;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ4_0> = encode_row_q4_0;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ4_1> = encode_row_q4_1;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ5_0> = encode_row_q5_0;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ5_1> = encode_row_q5_1;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ8_0> = encode_row_q8_0;
template <>
inline constexpr EncodeRow kEncodeRow<FormatTQ1_0> = encode_row_tq1_0;
template <>
inline constexpr EncodeRow kEncodeRow<FormatTQ2_0> = encode_row_tq2_0;
template <>
inline constexpr EncodeRow kEncodeRow<FormatMXFP4> = encode_row_mxfp4;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ2_K> = encode_row_q2_k;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ3_K> = encode_row_q3_k;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ4_K> = encode_row_q4_k;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ5_K> = encode_row_q5_k;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ6_K> = encode_row_q6_k;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ8_K> = encode_row_q8_k;
template <>
inline constexpr EncodeRow kEncodeRow<FormatQ8_1> = encode_row_q8_1;
template <>
inline constexpr EncodeRow kEncodeRow<FormatIQ4_NL> = encode_row_iq4_nl;
template <>
inline constexpr EncodeRow kEncodeRow<FormatIQ4_XS> = encode_row_iq4_xs;

}  // namespace quern::formats
