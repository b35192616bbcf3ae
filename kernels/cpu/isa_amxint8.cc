// AMX-INT8 and AMX-BF16 tiles, with AVX-512 VNNI for columns that fill none: matrix products only.
#define QUERN_DOT_VNNI
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/tile_amx.h"
#include "kernels/cpu/vec_avx512.h"
// Keeps its place: the kernels are written over the vectors and tiles chosen above.
#include "kernels/cpu/matmul_tile_kernels-inl.h"

namespace quern::cpu {

const MatmulKernels kAmxInt8Matmul = tile_kernels();

}  // namespace quern::cpu
