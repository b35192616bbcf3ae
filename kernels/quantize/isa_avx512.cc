// AVX-512 F, BW, DQ, VL and CD.
namespace quern::quantize {
namespace {
constexpr int kLanes = 16;
}
}  // namespace quern::quantize
// Keeps its place: the encoders are written over lanes of the width chosen above.
#include "kernels/quantize/encoders-inl.h"

namespace quern::quantize {

const EncoderTable kAvx512Encoders = encoders();

}  // namespace quern::quantize
