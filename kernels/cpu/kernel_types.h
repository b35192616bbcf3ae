// What crosses the border between the CPU backend and the files compiled per instruction set: plain
// structs, function types, and the table of functions that each such file exports.
//
// No containers and nothing with an out-of-line copy: a function compiled for AVX-512 must never be
// the one that the linker hands to code for older processors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops/ops.h"

namespace quern::cpu {

// Output features that are computed together: a panel holds this many weight rows, one per lane.
inline constexpr int kPanelRows = 16;
// Values of K that are unpacked at a time. A multiple of every format's block.
inline constexpr int kChunkValues = 512;
// Values of a super-block: a block of the K, IQ and TQ formats, whose groups are scaled by whole
// numbers.
inline constexpr int kSuperValues = 256;
inline constexpr int kSuperHalves = kSuperValues / 16;
// Bytes of a chunk of a panel at most: no format takes more than 10 bits for a value
// (format_kernels.cc asserts it).
inline constexpr int kTailBytes = kPanelRows * kChunkValues * 10 / 8;
// Activation rows per pass over a panel; bounds the accumulators of a worker.
inline constexpr int kMaxPassColumns = 256;
// Panels that kernels on tiles multiply in turns, chunk by chunk.
inline constexpr int kTilePanels = 8;
// Blocks of 16 columns times chunks of K for which such kernels keep scales.
inline constexpr int kTileScaleBlocks = 2 * kMaxPassColumns / 16;

// Activation rows in 8 bits (kernels/formats/block_q8a.h), as planes of one row each. With b a
// block of 32 values, h a half block of 16, and sums exact: d[b] the scale, sum_d32[b] = float(sum
// of b) * d[b], neg_sum32[b] = -sum of b, sum_d16[h] = float(sum of h) * d, neg_sum16[h] = -sum of
// h.
struct QuantizedRows {
  int8_t* q;  // rows q_stride bytes apart
  float* d;   // rows block_stride apart, like the other two planes per block
  float* sum_d32;
  int32_t* neg_sum32;
  float* sum_d16;      // rows 2 * block_stride apart
  int32_t* neg_sum16;  // rows 2 * block_stride apart
  int64_t q_stride;
  int64_t block_stride;
};

// Activation rows in super-blocks of 256 values, for formats that have such. Block b of all rows
// comes before block b + 1 of any, so that the columns that are multiplied together lie side by
// side. With h a half block of 16 values: sums[..][h] = sum of h, exact, and sum_parts[..][h] =
// that sum as two bf16 whose own sum it is, the lower half of the 32 bits within -8..7 and the
// upper half a multiple of 16.
struct SuperRows {
  int8_t* q;            // [n_blocks][block_rows][kSuperValues]
  float* d;             // [n_blocks][block_rows]
  int16_t* sums;        // [n_blocks][block_rows][kSuperHalves]
  uint32_t* sum_parts;  // [n_blocks][block_rows][kSuperHalves]
  int64_t block_rows;   // at least the number of rows
};
// Behind the last row of each plane there is room for so many more: kernels that take a fixed
// number of columns may read them, whatever they hold, and drop the results.
inline constexpr int kSpareSuperRows = 15;

// One chunk of a panel: up to kChunkValues values of kPanelRows rows. Byte i of lane r in q[k / 4]
// is value k = 4 * (k / 4) + i of row r.
//
// Formats with super-blocks have one scale and minimum per block of 256, and whole numbers:
// `factor` holds that of a group in both 16-bit halves of a lane; `pairs` those of two half blocks
// of 16 that follow each other, the first in the lower half, to be multiplied with SuperRows::sums:
// factors of minima or, for bytes with an offset, the groups' factors again.
struct Panel {
  uint8_t* q;       // [n_values / 4][kPanelRows][4]
  float* scale;     // [n_groups or super-blocks][kPanelRows]
  float* min;       // [n_groups or super-blocks][kPanelRows], formats with a minimum only
  int32_t* factor;  // [n_groups][kPanelRows]
  int32_t* pairs;   // [n_values / 32][kPanelRows]
};

// A super-block of a panel as kernels on tiles take it. A weight's product with its group's factor
// is 256 * high + low, or high alone where it fits a byte. `min`: the factor of the minimum of each
// half block as two equal bf16.
struct SuperTilePanel {
  alignas(64) int8_t high[kSuperValues / 4][kPanelRows][4];
  alignas(64) uint8_t low[kSuperValues / 4][kPanelRows][4];
  alignas(64) uint32_t min[kSuperValues / 16][kPanelRows];
  alignas(64) float scale[kPanelRows];
  alignas(64) float min_scale[kPanelRows];
};

// Weight rows at a fixed distance: row r starts at base + r * stride. (An array of 16 pointers
// would be loaded from memory again for each use; base and stride stay in registers.)
struct RowSet {
  const std::byte* base;
  int64_t stride;
};

// How the bytes of a panel stand for the integers of a format.
enum class PanelCode : uint8_t {
  kUnsigned,  // as they are, 0..127
  kOffset,    // plus 2^offset_shift, which makes them 0..127
  kWide,      // two's complement, or plus 128 where the dot product wants unsigned bytes
};

// Writes n_values values from first_value of kPanelRows rows (both numbers are multiples of the
// format's block) into a panel. `flip` is xor-ed into each byte.
using UnpackPanel = void (*)(RowSet rows, int64_t first_value, int n_values, uint8_t flip,
                             const Panel& panel);

// A quantized format as the panel kernels see it.
struct PanelFormat {
  bool super_blocks;
  int group_values;  // 16 or 32
  bool has_min;
  PanelCode code;
  int offset_shift;  // for kOffset
  UnpackPanel unpack;
};

struct MatmulTask;
// Sum over all groups of a weight row with one activation row, in the order of the contract.
using OracleDot = float (*)(const std::byte* row, const MatmulTask& task, int64_t column);
using DecodeRow = void (*)(const std::byte* src, float* dst, int64_t n_values);

// Memory of one worker; 64-byte aligned.
struct MatmulScratch {
  Panel panel;                  // capacity kChunkValues, groups of 16
  float* accumulator;           // [kTilePanels][kMaxPassColumns][kPanelRows]
  float* decoded;               // [kPanelRows][n_in padded], for float formats without a loader
  std::byte* tail;              // kTailBytes: a chunk of the rows of a panel that is not full
  const std::byte** following;  // MatmulTask::following of the last call
  // [kTileScaleBlocks][kChunkValues / 32][16]: scales of 16 columns together.
  float* tile_d;
  float* tile_sum_d;             // [kTileScaleBlocks][kChunkValues / 16][16]: the same of sums
  SuperTilePanel* super_panels;  // 2
};

// y = x * weight^T + bias over panels of output features.
struct MatmulTask {
  const std::byte* weight;
  int64_t row_bytes;
  int64_t n_out;
  int64_t n_in;
  const PanelFormat* format;  // null for float formats
  OracleDot oracle;           // null for float formats
  DecodeRow decode;
  const float* x;  // float formats read this
  int64_t x_stride;
  QuantizedRows xq;  // quantized formats read this,
  SuperRows xs;      // or this if they have super-blocks
  int64_t n_rows;
  const float* bias;  // or null
  float* y;
  int64_t y_stride;
  // Where the panel begins that the worker multiplies after these ones, or null: it is asked for
  // ahead, like the panels before it.
  const std::byte* following;
};
// Computes panels begin..end-1 (panel p: outputs 16p..16p+15) for all rows.
using MatmulFn = void (*)(const MatmulTask& task, int64_t begin, int64_t end,
                          const MatmulScratch& scratch);

// Of the two forms, those are written whose q is not null.
struct QuantizeTask {
  const float* x;
  int64_t x_stride;
  int64_t n_in;  // a multiple of 32 or of kSuperValues
  QuantizedRows out;
  SuperRows super_out;
};
using QuantizeFn = void (*)(const QuantizeTask& task, int64_t row_begin, int64_t row_end);

struct GatherTask {
  const std::byte* table;
  int64_t row_bytes;
  int64_t n_cols;
  DecodeRow decode;
  float scale;
  const int32_t* tokens;
  float* y;
};

// Where the keys and values of one token go.
struct KvSlot {
  int32_t page;
  int32_t offset;  // token in page
};

// Neighbouring tokens of one sequence that attend together.
struct TokenTile {
  int32_t first_token;
  int32_t n_tokens;
  int32_t first_position;
  const int32_t* pages;
};

struct AttentionTask {
  const ops::AttentionArgs* args;
  const TokenTile* tiles;
  // Where the spans of a context are computed apart from each other: the number of spans from
  // position 0, and memory for the softmax of each of them, part_floats values per part.
  int64_t n_spans;
  float* parts;
  int64_t part_floats;
};
// Attention for items begin..end-1; item i is kv head i % n_kv_heads of tile i / n_kv_heads. Either
// `whole` does all of it, or `part` computes parts (part p is span p % n_spans of item p / n_spans)
// and `join` the items from their parts; the bits are the same.
struct AttentionKernels {
  using WithScratch = void (*)(const AttentionTask& task, int64_t begin, int64_t end,
                               std::byte* scratch);
  WithScratch whole;
  WithScratch part;
  void (*join)(const AttentionTask& task, int64_t begin, int64_t end);
};

using GatherFn = void (*)(const GatherTask& task, int64_t token_begin, int64_t token_end);
using RmsNormFn = void (*)(const ops::RmsNormArgs& args, int64_t row_begin, int64_t row_end);
using RopeTableFn = void (*)(const ops::RopeTableArgs& args, const int32_t* positions,
                             int64_t token_begin, int64_t token_end);
using RopeFn = void (*)(const ops::RopeArgs& args, int64_t token_begin, int64_t token_end);
using KvStoreFn = void (*)(const ops::KvStoreArgs& args, const KvSlot* slots, int64_t token_begin,
                           int64_t token_end);
using GatedActivationFn = void (*)(const ops::GatedActivationArgs& args, int64_t row_begin,
                                   int64_t row_end);
using AddFn = void (*)(const ops::AddArgs& args, int64_t begin, int64_t end);
using ScaleFn = void (*)(const ops::ScaleArgs& args, int64_t begin, int64_t end);
using SoftcapFn = void (*)(const ops::SoftcapArgs& args, int64_t begin, int64_t end);
// Experts and weights only; grouping them is the backend's.
using RouteFn = void (*)(const ops::RouteArgs& args, int64_t row_begin, int64_t row_end);
using ExpertCombineFn = void (*)(const ops::ExpertCombineArgs& args, int64_t row_begin,
                                 int64_t row_end);

// The operations apart from the matrix product, for one instruction set.
struct OpKernels {
  QuantizeFn quantize;
  RmsNormFn rms_norm;
  RopeTableFn rope_table;
  RopeFn rope;
  KvStoreFn kv_store;
  AttentionKernels attention;
  GatedActivationFn gated_activation;
  AddFn add;
  ScaleFn scale;
  SoftcapFn softcap;
  RouteFn route;
  ExpertCombineFn expert_combine;
};

// The matrix products of one instruction set. `generic` multiplies any format.
struct MatmulKernels {
  MatmulFn generic;
  MatmulFn f32;
  MatmulFn f16;
  MatmulFn bf16;
  MatmulFn q4_0;
  MatmulFn q4_1;
  MatmulFn q5_0;
  MatmulFn q5_1;
  MatmulFn q8_0;
  MatmulFn q2_k;
  MatmulFn q3_k;
  MatmulFn q4_k;
  MatmulFn q5_k;
  MatmulFn q6_k;
  MatmulFn iq4_nl;
  MatmulFn iq4_xs;
  MatmulFn mxfp4;
  MatmulFn nvfp4;
  MatmulFn iq1_s;
  MatmulFn iq1_m;
  MatmulFn iq2_xxs;
  MatmulFn iq2_xs;
  MatmulFn iq2_s;
  MatmulFn iq3_xxs;
  MatmulFn iq3_s;
  MatmulFn tq1_0;
  MatmulFn tq2_0;
  MatmulFn q1_0;
};

}  // namespace quern::cpu
