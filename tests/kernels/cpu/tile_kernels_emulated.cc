// The kernels of isa_amxint8.cc over the emulated tile unit.
#define QUERN_DOT_VNNI
#include "tests/kernels/cpu/tile_kernels_emulated.h"
#include "kernels/cpu/vec_avx512.h"
#include "tests/kernels/cpu/tile_emulated.h"
// Keeps its place: the kernels are written over the vectors and tiles chosen above.
#include "kernels/cpu/matmul_tile_kernels-inl.h"

namespace quern::cpu_tests {

const cpu::MatmulKernels kEmulatedTileMatmul = cpu::tile_kernels();

}  // namespace quern::cpu_tests
