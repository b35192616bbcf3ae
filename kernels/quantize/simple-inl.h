// Encoders of formats whose block is one group: Q4_0, Q5_0, Q8_0, IQ4_NL and the ternary ones (a
// scale), Q4_1 and Q5_1 (a scale and an offset), MXFP4 (a power of two).
#pragma once

#include "kernels/formats/all_blocks.h"
#include "kernels/formats/pack.h"
#include "kernels/quantize/scale_search-inl.h"

namespace quern::quantize {
namespace {

using namespace formats;

QUERN_LANE_PART void pack_block(BlockQ4_0& block, const uint8_t* codes) {
  pack_nibbles(codes, block.qs);
}
QUERN_LANE_PART void pack_block(BlockQ4_1& block, const uint8_t* codes) {
  pack_nibbles(codes, block.qs);
}
QUERN_LANE_PART void pack_block(BlockIQ4_NL& block, const uint8_t* codes) {
  pack_nibbles(codes, block.qs);
}
QUERN_LANE_PART void pack_block(BlockMXFP4& block, const uint8_t* codes) {
  pack_nibbles(codes, block.qs);
}
QUERN_LANE_PART void pack_block(BlockQ5_0& block, const uint8_t* codes) {
  pack_nibbles(codes, block.qs);
  pack_fifth_bits(codes, block.qh);
}
QUERN_LANE_PART void pack_block(BlockQ5_1& block, const uint8_t* codes) {
  pack_nibbles(codes, block.qs);
  pack_fifth_bits(codes, block.qh);
}
QUERN_LANE_PART void pack_block(BlockQ8_0& block, const uint8_t* codes) {
  for (int j = 0; j < 32; ++j) block.q[j] = static_cast<int8_t>(codes[j] - 127);
}
QUERN_LANE_PART void pack_block(BlockTQ1_0& block, const uint8_t* codes) {
  pack_tq1(codes, block.qs, block.qh);
}
QUERN_LANE_PART void pack_block(BlockTQ2_0& block, const uint8_t* codes) {
  pack_quads(codes, block.qs);
}

template <typename Block, int kValues>
QUERN_LANE_PART void pack_blocks(const float (&codes)[kValues][kBatch], Block* blocks, int n) {
  uint8_t bytes[kValues];
  for (int g = 0; g < n; ++g) {
    store_codes(codes, g, bytes);
    pack_block(blocks[g], bytes);
  }
}

template <typename Format, typename Levels, int n>
QUERN_LANE_PART void encode_scaled(const float* src, const float* importance, std::byte* dst,
                                   int64_t n_values, const Starts<n>& starts) {
  constexpr int kValues = Format::kBlockValues;
  using Block = typename Format::Block;
  Batch<kValues> batch;
  alignas(64) float codes[kValues][kBatch];
  for_batches<Format, kValues>(src, importance, dst, n_values,
                               [&](const float* x, const float* w, Block* blocks, int n_blocks) {
                                 alignas(64) float scale[kBatch] = {};
                                 load_batch(x, w, n_blocks, 1, batch);
                                 for (int at = 0; at < kBatch; at += kLanes) {
                                   store(&scale[at], best_scale<Levels>(batch, at, starts));
                                 }
                                 for (int g = 0; g < n_blocks; ++g) {
                                   const HalfScale half = half_scale(scale[g], batch.unit[g]);
                                   blocks[g].d = half.bits;
                                   scale[g] = half.value;
                                 }
                                 for (int at = 0; at < kBatch; at += kLanes) {
                                   store_level_codes<Levels>(
                                       batch, at, inverse_or_zero(load(&scale[at])), codes);
                                 }
                                 pack_blocks(codes, blocks, n_blocks);
                               });
}

// The best offset for codes that the scale and offset at hand give.
template <int q_max, int kValues>
QUERN_LANE_PART Lanes refitted_offset(const Batch<kValues>& batch, int at, Lanes scale,
                                      Lanes offset) {
  const Lanes inverse = inverse_or_zero(scale);
  Lanes sum{};
  Lanes weights{};
  for (int j = 0; j < kValues; ++j) {
    const Lanes x = load(&batch.x[j][at]);
    const Lanes w = load(&batch.w[j][at]);
    sum += w * (x - scale * WholeLevels<0, q_max>::level((x - offset) * inverse));
    weights += w;
  }
  return sum * inverse_or_zero(weights);
}

template <typename Format, int q_max, int n>
QUERN_LANE_PART void encode_affine(const float* src, const float* importance, std::byte* dst,
                                   int64_t n_values, const Starts<n>& starts) {
  using Block = typename Format::Block;
  using Levels = WholeLevels<0, q_max>;
  Batch<32> batch;
  alignas(64) float codes[32][kBatch];
  for_batches<Format, 32>(
      src, importance, dst, n_values,
      [&](const float* x, const float* w, Block* blocks, int n_blocks) {
        alignas(64) float scale[kBatch] = {};
        alignas(64) float offset[kBatch] = {};
        load_batch(x, w, n_blocks, 1, batch);
        for (int at = 0; at < kBatch; at += kLanes) {
          const Affine best = best_affine<q_max>(batch, at, starts, false);
          store(&scale[at], best.scale);
          store(&offset[at], best.offset);
        }
        for (int g = 0; g < n_blocks; ++g) {
          const HalfScale half = half_scale(scale[g], batch.unit[g]);
          blocks[g].d = half.bits;
          scale[g] = half.value;
        }
        // The scale has been rounded; the offset can make up for some of that.
        for (int at = 0; at < kBatch; at += kLanes) {
          store(&offset[at],
                refitted_offset<q_max>(batch, at, load(&scale[at]), load(&offset[at])));
        }
        for (int g = 0; g < n_blocks; ++g) {
          const HalfScale half = half_scale(offset[g], batch.unit[g]);
          blocks[g].m = half.bits;
          offset[g] = half.value;
        }
        for (int at = 0; at < kBatch; at += kLanes) {
          const Lanes inverse = inverse_or_zero(load(&scale[at]));
          const Lanes m = load(&offset[at]);
          for (int j = 0; j < 32; ++j) {
            store(&codes[j][at], Levels::level((load(&batch.x[j][at]) - m) * inverse));
          }
        }
        pack_blocks(codes, blocks, n_blocks);
      });
}

// E8M0 exponents next to the one that puts the peak at the largest level, 12 (6 in FP4's terms).
QUERN_LANE_PART uint8_t fp4_exponent(float peak, float unit, int step) {
  // Biased exponent of the peak. 2^(e - 128) * 12 = 1.5 * 2^(e - 125) for the scale e.
  const int exponent = static_cast<int>(__builtin_bit_cast(uint32_t, peak) >> 23) - 127 +
                       static_cast<int>(__builtin_bit_cast(uint32_t, unit) >> 23);
  constexpr int kMost = 252;  // 12 * 2^(e - 128) is finite
  const int e = exponent - 2 + step;
  return static_cast<uint8_t>(e < 0 ? 0 : (e > kMost ? kMost : e));
}

QUERN_LANE_PART void encode_fp4(const float* src, const float* importance, std::byte* dst,
                                int64_t n_values) {
  Batch<32> batch;
  alignas(64) float codes[32][kBatch];
  for_batches<FormatMXFP4, 32>(
      src, importance, dst, n_values,
      [&](const float* x, const float* w, BlockMXFP4* blocks, int n_blocks) {
        alignas(64) float peak[kBatch] = {};
        alignas(64) float scale[3][kBatch] = {};
        alignas(64) float chosen[kBatch] = {};
        load_batch(x, w, n_blocks, 1, batch);
        for (int at = 0; at < kBatch; at += kLanes) {
          store(&peak[at], magnitude(signed_peaks(batch, at)));
        }
        for (int g = 0; g < n_blocks; ++g) {
          for (int i = 0; i < 3; ++i) {
            scale[i][g] =
                float_from_e8m0_half(fp4_exponent(peak[g], batch.unit[g], i - 1)) / batch.unit[g];
          }
        }
        for (int at = 0; at < kBatch; at += kLanes) {
          Lanes choice = splat(0.0F);
          Lanes gain = splat(-0x1p100F);
          for (int i = 0; i < 3; ++i) {
            const Lanes a = load(&scale[i][at]);
            const Moments sum = moments<Fp4Levels>(batch, at, inverse_or_zero(a));
            const Lanes explained = a * (2.0F * sum.xq - a * sum.qq);
            const Mask better = explained > gain;
            gain = select(better, explained, gain);
            choice = select(better, splat(static_cast<float>(i)), choice);
          }
          store(&chosen[at], choice);
        }
        for (int g = 0; g < n_blocks; ++g) {
          const int i = static_cast<int>(chosen[g]);
          blocks[g].e = fp4_exponent(peak[g], batch.unit[g], i - 1);
          chosen[g] = scale[i][g];
        }
        for (int at = 0; at < kBatch; at += kLanes) {
          store_level_codes<Fp4Levels>(batch, at, inverse_or_zero(load(&chosen[at])), codes);
        }
        pack_blocks(codes, blocks, n_blocks);
      });
}

}  // namespace
}  // namespace quern::quantize
