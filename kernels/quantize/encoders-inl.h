// One function per format, with where its search starts and how far it goes; the table of them.
//
// Starts and rounds: the fewest beyond which the error of normal values fell by less than 0.1 %
// (AVX-512 server, 2026-11).
#pragma once

#include "kernels/quantize/encoder_table.h"
#include "kernels/quantize/grid-inl.h"
#include "kernels/quantize/k-inl.h"
#include "kernels/quantize/simple-inl.h"

namespace quern::quantize {
namespace {

#define QUERN_DEFINE_ENCODER(name, call) \
  void encode_##name(const float* src, const float* importance, std::byte* dst, int64_t n) { call; }
#define QUERN_ARGUMENTS src, importance, dst, n

constexpr Starts<14> kFourBits{{-8.0F, -7.5F, -8.6F, 8.0F, 7.4F, 8.7F, -9.3F, 9.3F, -10.2F, 10.2F,
                                -11.5F, 11.5F, -14.0F, 14.0F},
                               2};
constexpr Starts<14> kFiveBits{{-16.0F, -15.4F, -16.6F, 16.0F, 15.4F, 16.7F, -17.4F, 17.4F, -18.5F,
                                18.5F, -20.5F, 20.5F, -24.0F, 24.0F},
                               2};
constexpr Starts<3> kEightBits{{127.0F, 127.4F, 126.6F}, 1};
constexpr Starts<6> kIq4{{-127.0F, -113.0F, -140.0F, 127.0F, 113.0F, 99.0F}, 2};
constexpr Starts<7> kTernary{{1.0F, 1.4F, 1.8F, 2.3F, 2.9F, 3.6F, 5.0F}, 4};

QUERN_DEFINE_ENCODER(Q4_0,
                     (encode_scaled<FormatQ4_0, WholeLevels<-8, 7>>(QUERN_ARGUMENTS, kFourBits)))
QUERN_DEFINE_ENCODER(Q5_0,
                     (encode_scaled<FormatQ5_0, WholeLevels<-16, 15>>(QUERN_ARGUMENTS, kFiveBits)))
QUERN_DEFINE_ENCODER(Q8_0, (encode_scaled<FormatQ8_0, WholeLevels<-127, 127>>(QUERN_ARGUMENTS,
                                                                              kEightBits)))
QUERN_DEFINE_ENCODER(IQ4_NL, (encode_scaled<FormatIQ4_NL, Iq4Levels>(QUERN_ARGUMENTS, kIq4)))
QUERN_DEFINE_ENCODER(TQ1_0,
                     (encode_scaled<FormatTQ1_0, WholeLevels<-1, 1>>(QUERN_ARGUMENTS, kTernary)))
QUERN_DEFINE_ENCODER(TQ2_0,
                     (encode_scaled<FormatTQ2_0, WholeLevels<-1, 1>>(QUERN_ARGUMENTS, kTernary)))
QUERN_DEFINE_ENCODER(MXFP4, encode_fp4(QUERN_ARGUMENTS))

// In codes by which the range is cut short.
constexpr Starts<16> kAffine{{-1.0F, -0.8F, -0.6F, -0.4F, -0.3F, 0.4F, 0.0F, 0.8F, 0.3F, 1.2F, 0.6F,
                              1.6F, 1.0F, 2.4F, 2.0F, 4.0F},
                             2};
constexpr Starts<6> kAffineTwoBits{{-0.4F, 0.0F, 0.3F, 0.6F, 1.0F, 1.6F}, 3};
QUERN_DEFINE_ENCODER(Q4_1, (encode_affine<FormatQ4_1, 15>(QUERN_ARGUMENTS, kAffine)))
QUERN_DEFINE_ENCODER(Q5_1, (encode_affine<FormatQ5_1, 31>(QUERN_ARGUMENTS, kAffine)))

QUERN_DEFINE_ENCODER(Q2_K, (encode_scaled_min<FormatQ2_K, 15>(QUERN_ARGUMENTS, kAffineTwoBits, 3)))
QUERN_DEFINE_ENCODER(Q4_K, (encode_scaled_min<FormatQ4_K, 63>(QUERN_ARGUMENTS, kAffine, 1)))
QUERN_DEFINE_ENCODER(Q5_K, (encode_scaled_min<FormatQ5_K, 63>(QUERN_ARGUMENTS, kAffine, 1)))

constexpr Starts<6> kThreeBits{{-4.0F, -3.5F, -4.6F, 4.0F, 3.4F, 3.0F}, 2};
constexpr Starts<12> kSixBits{
    {-32.0F, -31.3F, 32.0F, 31.4F, -33.0F, 33.0F, -34.2F, 34.2F, -36.0F, 36.0F, -40.0F, 40.0F}, 2};
QUERN_DEFINE_ENCODER(Q3_K, (encode_signed<FormatQ3_K, WholeLevels<-4, 3>, -32>(QUERN_ARGUMENTS,
                                                                               kThreeBits, 2)))
QUERN_DEFINE_ENCODER(Q6_K, (encode_signed<FormatQ6_K, WholeLevels<-32, 31>, -128>(QUERN_ARGUMENTS,
                                                                                  kSixBits, 1)))
QUERN_DEFINE_ENCODER(IQ4_XS,
                     (encode_signed<FormatIQ4_XS, Iq4Levels, -32>(QUERN_ARGUMENTS, kIq4, 2)))

// Levels of the peak, then factors on what rounding to them suggests.
constexpr Starts<6> kIq2{{43.0F, 37.0F, 50.0F, 60.0F, 30.0F, 75.0F}, 1};
constexpr Starts<6> kIq3Xxs{{62.0F, 56.0F, 68.0F, 50.0F, 76.0F, 44.0F}, 1};
constexpr Starts<6> kIq3S{{15.0F, 13.5F, 16.5F, 12.0F, 18.5F, 10.5F}, 1};
constexpr Starts<6> kIq1{{9.0F, 12.0F, 15.0F, 18.0F, 22.0F, 28.0F}, 0};
constexpr float kTwoFactors[] = {1.0F, 1.1F};
constexpr float kOneFactor[] = {1.05F};
QUERN_DEFINE_ENCODER(IQ2_XXS, encode_grid<GridIq2Xxs>(QUERN_ARGUMENTS, kIq2, kTwoFactors))
QUERN_DEFINE_ENCODER(IQ2_XS, encode_grid<GridIq2Xs>(QUERN_ARGUMENTS, kIq2, kTwoFactors))
QUERN_DEFINE_ENCODER(IQ2_S, encode_grid<GridIq2S>(QUERN_ARGUMENTS, kIq2, kOneFactor))
QUERN_DEFINE_ENCODER(IQ3_XXS, encode_grid<GridIq3Xxs>(QUERN_ARGUMENTS, kIq3Xxs, kOneFactor))
QUERN_DEFINE_ENCODER(IQ3_S, encode_grid<GridIq3S>(QUERN_ARGUMENTS, kIq3S, kOneFactor))
QUERN_DEFINE_ENCODER(IQ1_S, encode_grid<GridIq1S>(QUERN_ARGUMENTS, kIq1, kOneFactor))
QUERN_DEFINE_ENCODER(IQ1_M, encode_grid<GridIq1M>(QUERN_ARGUMENTS, kIq1, kOneFactor))

#undef QUERN_ARGUMENTS
#undef QUERN_DEFINE_ENCODER

constexpr EncoderTable encoders() {
  EncoderTable table{};
#define QUERN_ENCODER(format) table.format = encode_##format;
#include "kernels/quantize/encoder_list.inc"
#undef QUERN_ENCODER
  return table;
}

}  // namespace
}  // namespace quern::quantize
