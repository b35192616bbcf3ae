// Armv8.6 int8 matrix multiply: matrix products only.
#define QUERN_DOT_NEON
#define QUERN_DOT_I8MM
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/vec_neon.h"
// Keeps its place: the kernels are written over the vectors chosen above.
#include "kernels/cpu/matmul_kernels-inl.h"

namespace quern::cpu {

const MatmulKernels kNeonI8mmMatmul = matmul_kernels();

}  // namespace quern::cpu
