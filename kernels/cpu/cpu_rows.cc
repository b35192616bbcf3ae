// One line per row. Ranks: 50 tiles, 100 VNNI-class and matrix integer products, 200 AVX-512, 300
// AVX2 and NEON, plus 50 for a generic row (any format); 1000 is the oracle.
//
// A row's function is the address of a function pointer in the tables of isa_kernels.h.
#include "kernels/cpu/cpu_rows.h"

#include <vector>

#include "kernels/cpu/isa_kernels.h"

namespace quern::cpu {
namespace {

using dispatch::KernelRow;
using formats::FormatId;
using hardware::Isa;
using hardware::IsaMask;
using ops::OpId;

template <typename Function>
KernelRow op_row(std::string_view name, OpId op, IsaMask needs, int rank,
                 const Function& function) {
  return {name, op, std::nullopt, needs, 1, rank, &function};
}

KernelRow matmul_row(std::string_view name, std::optional<FormatId> format, IsaMask needs, int rank,
                     const MatmulFn& function) {
  return {name, OpId::kMatmul, format, needs, 1, rank, &function};
}

// The rows of the non-matmul operations of one instruction set.
#define QUERN_OP_ROWS(isa, needs, rank, ops)                                                      \
  op_row("rms_norm." isa, OpId::kRmsNorm, needs, rank, ops.rms_norm),                             \
      op_row("rope_table." isa, OpId::kRopeTable, needs, rank, ops.rope_table),                   \
      op_row("rope." isa, OpId::kRope, needs, rank, ops.rope),                                    \
      op_row("kv_store." isa, OpId::kKvStore, needs, rank, ops.kv_store),                         \
      op_row("attention." isa, OpId::kAttention, needs, rank, ops.attention),                     \
      op_row("gated_activation." isa, OpId::kGatedActivation, needs, rank, ops.gated_activation), \
      op_row("add." isa, OpId::kAdd, needs, rank, ops.add),                                       \
      op_row("scale." isa, OpId::kScale, needs, rank, ops.scale),                                 \
      op_row("softcap." isa, OpId::kSoftcap, needs, rank, ops.softcap),                           \
      op_row("route." isa, OpId::kRoute, needs, rank, ops.route),                                 \
      op_row("expert_combine." isa, OpId::kExpertCombine, needs, rank, ops.expert_combine)

// The matmul rows of one instruction set.
#define QUERN_MATMUL_ROWS(isa, needs, rank, kernels)                                          \
  matmul_row("matmul." isa ".generic", std::nullopt, needs, rank + 50, kernels.generic),      \
      matmul_row("matmul." isa ".f32", FormatId::kF32, needs, rank, kernels.f32),             \
      matmul_row("matmul." isa ".f16", FormatId::kF16, needs, rank, kernels.f16),             \
      matmul_row("matmul." isa ".bf16", FormatId::kBF16, needs, rank, kernels.bf16),          \
      matmul_row("matmul." isa ".q4_0", FormatId::kQ4_0, needs, rank, kernels.q4_0),          \
      matmul_row("matmul." isa ".q4_1", FormatId::kQ4_1, needs, rank, kernels.q4_1),          \
      matmul_row("matmul." isa ".q5_0", FormatId::kQ5_0, needs, rank, kernels.q5_0),          \
      matmul_row("matmul." isa ".q5_1", FormatId::kQ5_1, needs, rank, kernels.q5_1),          \
      matmul_row("matmul." isa ".q8_0", FormatId::kQ8_0, needs, rank, kernels.q8_0),          \
      matmul_row("matmul." isa ".q2_k", FormatId::kQ2_K, needs, rank, kernels.q2_k),          \
      matmul_row("matmul." isa ".q3_k", FormatId::kQ3_K, needs, rank, kernels.q3_k),          \
      matmul_row("matmul." isa ".q4_k", FormatId::kQ4_K, needs, rank, kernels.q4_k),          \
      matmul_row("matmul." isa ".q5_k", FormatId::kQ5_K, needs, rank, kernels.q5_k),          \
      matmul_row("matmul." isa ".q6_k", FormatId::kQ6_K, needs, rank, kernels.q6_k),          \
      matmul_row("matmul." isa ".iq4_nl", FormatId::kIQ4_NL, needs, rank, kernels.iq4_nl),    \
      matmul_row("matmul." isa ".iq4_xs", FormatId::kIQ4_XS, needs, rank, kernels.iq4_xs),    \
      matmul_row("matmul." isa ".mxfp4", FormatId::kMXFP4, needs, rank, kernels.mxfp4),       \
      matmul_row("matmul." isa ".nvfp4", FormatId::kNVFP4, needs, rank, kernels.nvfp4),       \
      matmul_row("matmul." isa ".iq1_s", FormatId::kIQ1_S, needs, rank, kernels.iq1_s),       \
      matmul_row("matmul." isa ".iq1_m", FormatId::kIQ1_M, needs, rank, kernels.iq1_m),       \
      matmul_row("matmul." isa ".iq2_xxs", FormatId::kIQ2_XXS, needs, rank, kernels.iq2_xxs), \
      matmul_row("matmul." isa ".iq2_xs", FormatId::kIQ2_XS, needs, rank, kernels.iq2_xs),    \
      matmul_row("matmul." isa ".iq2_s", FormatId::kIQ2_S, needs, rank, kernels.iq2_s),       \
      matmul_row("matmul." isa ".iq3_xxs", FormatId::kIQ3_XXS, needs, rank, kernels.iq3_xxs), \
      matmul_row("matmul." isa ".iq3_s", FormatId::kIQ3_S, needs, rank, kernels.iq3_s),       \
      matmul_row("matmul." isa ".tq1_0", FormatId::kTQ1_0, needs, rank, kernels.tq1_0),       \
      matmul_row("matmul." isa ".tq2_0", FormatId::kTQ2_0, needs, rank, kernels.tq2_0),       \
      matmul_row("matmul." isa ".q1_0", FormatId::kQ1_0, needs, rank, kernels.q1_0)

// First, since they are faster from 16 columns on and the same as the dot products below.
constexpr int kTileRank = 50;

// The matmul rows on tiles.
#define QUERN_TILE_ROWS(isa, needs, kernels)                                                       \
  matmul_row("matmul." isa ".q4_0", FormatId::kQ4_0, needs, kTileRank, kernels.q4_0),              \
      matmul_row("matmul." isa ".q4_1", FormatId::kQ4_1, needs, kTileRank, kernels.q4_1),          \
      matmul_row("matmul." isa ".q5_0", FormatId::kQ5_0, needs, kTileRank, kernels.q5_0),          \
      matmul_row("matmul." isa ".q5_1", FormatId::kQ5_1, needs, kTileRank, kernels.q5_1),          \
      matmul_row("matmul." isa ".q8_0", FormatId::kQ8_0, needs, kTileRank, kernels.q8_0),          \
      matmul_row("matmul." isa ".q2_k", FormatId::kQ2_K, needs, kTileRank, kernels.q2_k),          \
      matmul_row("matmul." isa ".q3_k", FormatId::kQ3_K, needs, kTileRank, kernels.q3_k),          \
      matmul_row("matmul." isa ".q4_k", FormatId::kQ4_K, needs, kTileRank, kernels.q4_k),          \
      matmul_row("matmul." isa ".q5_k", FormatId::kQ5_K, needs, kTileRank, kernels.q5_k),          \
      matmul_row("matmul." isa ".q6_k", FormatId::kQ6_K, needs, kTileRank, kernels.q6_k),          \
      matmul_row("matmul." isa ".iq4_nl", FormatId::kIQ4_NL, needs, kTileRank, kernels.iq4_nl),    \
      matmul_row("matmul." isa ".iq4_xs", FormatId::kIQ4_XS, needs, kTileRank, kernels.iq4_xs),    \
      matmul_row("matmul." isa ".mxfp4", FormatId::kMXFP4, needs, kTileRank, kernels.mxfp4),       \
      matmul_row("matmul." isa ".nvfp4", FormatId::kNVFP4, needs, kTileRank, kernels.nvfp4),       \
      matmul_row("matmul." isa ".iq1_s", FormatId::kIQ1_S, needs, kTileRank, kernels.iq1_s),       \
      matmul_row("matmul." isa ".iq1_m", FormatId::kIQ1_M, needs, kTileRank, kernels.iq1_m),       \
      matmul_row("matmul." isa ".iq2_xxs", FormatId::kIQ2_XXS, needs, kTileRank, kernels.iq2_xxs), \
      matmul_row("matmul." isa ".iq2_xs", FormatId::kIQ2_XS, needs, kTileRank, kernels.iq2_xs),    \
      matmul_row("matmul." isa ".iq2_s", FormatId::kIQ2_S, needs, kTileRank, kernels.iq2_s),       \
      matmul_row("matmul." isa ".iq3_xxs", FormatId::kIQ3_XXS, needs, kTileRank, kernels.iq3_xxs), \
      matmul_row("matmul." isa ".iq3_s", FormatId::kIQ3_S, needs, kTileRank, kernels.iq3_s),       \
      matmul_row("matmul." isa ".tq1_0", FormatId::kTQ1_0, needs, kTileRank, kernels.tq1_0),       \
      matmul_row("matmul." isa ".tq2_0", FormatId::kTQ2_0, needs, kTileRank, kernels.tq2_0),       \
      matmul_row("matmul." isa ".q1_0", FormatId::kQ1_0, needs, kTileRank, kernels.q1_0)

constexpr int kOracleRank = 1000;

// Built on the first call; constant afterwards.
const std::vector<KernelRow>& table() {
  static const std::vector<KernelRow> rows = {
    QUERN_OP_ROWS("scalar", IsaMask(), kOracleRank, kScalarOps),
    op_row("gather.scalar", OpId::kGather, IsaMask(), kOracleRank, kScalarGather),
    matmul_row("matmul.scalar.oracle", std::nullopt, IsaMask(), kOracleRank, kScalarOracle),
#if defined(__x86_64__)
    QUERN_OP_ROWS("avx2", Isa::kAvx2, 300, kAvx2Ops),
    QUERN_OP_ROWS("avx512", Isa::kAvx512, 200, kAvx512Ops),
    QUERN_MATMUL_ROWS("avx2", Isa::kAvx2, 300, kAvx2Matmul),
    QUERN_MATMUL_ROWS("avxvnni", Isa::kAvx2 | Isa::kAvxVnni, 250, kAvxVnniMatmul),
    QUERN_MATMUL_ROWS("avx512", Isa::kAvx512, 200, kAvx512Matmul),
    QUERN_MATMUL_ROWS("avx512vnni", Isa::kAvx512 | Isa::kAvx512Vnni, 100, kAvx512VnniMatmul),
    QUERN_TILE_ROWS("amxint8", Isa::kAvx512 | Isa::kAvx512Vnni | Isa::kAmxInt8 | Isa::kAmxBf16,
                    kAmxInt8Matmul),
#elif defined(__aarch64__)
    QUERN_OP_ROWS("neon", Isa::kNeon, 300, kNeonOps),
    QUERN_MATMUL_ROWS("neon", Isa::kNeon, 300, kNeonMatmul),
    QUERN_MATMUL_ROWS("neondot", Isa::kNeon | Isa::kNeonDot, 250, kNeonDotMatmul),
    QUERN_MATMUL_ROWS("neoni8mm", Isa::kNeon | Isa::kNeonDot | Isa::kNeonI8mm, 100,
                      kNeonI8mmMatmul),
#endif
  };
  return rows;
}

#undef QUERN_OP_ROWS
#undef QUERN_MATMUL_ROWS
#undef QUERN_TILE_ROWS

}  // namespace

std::span<const dispatch::KernelRow> cpu_rows() { return table(); }

QuantizeFn best_quantize([[maybe_unused]] IsaMask isa) {
#if defined(__x86_64__)
  if (isa.contains(Isa::kAvx512)) return kAvx512Ops.quantize;
  if (isa.contains(Isa::kAvx2)) return kAvx2Ops.quantize;
#elif defined(__aarch64__)
  if (isa.contains(Isa::kNeon)) return kNeonOps.quantize;
#endif
  return kScalarOps.quantize;
}

}  // namespace quern::cpu
