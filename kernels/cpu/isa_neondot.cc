// Armv8.2 int8 dot product: matrix products only.
#define QUERN_DOT_NEON
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/vec_neon.h"
// Keeps its place: the kernels are written over the vectors chosen above.
#include "kernels/cpu/matmul_kernels-inl.h"

namespace quern::cpu {

const MatmulKernels kNeonDotMatmul = matmul_kernels();

}  // namespace quern::cpu
