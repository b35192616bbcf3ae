// AVX-512 with VNNI: matrix products only.
#define QUERN_DOT_VNNI
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/vec_avx512.h"
// Keeps its place: the kernels are written over the vectors chosen above.
#include "kernels/cpu/matmul_kernels-inl.h"

namespace quern::cpu {

const MatmulKernels kAvx512VnniMatmul = matmul_kernels();

}  // namespace quern::cpu
