// AVX2.
namespace quern::quantize {
namespace {
constexpr int kLanes = 8;
}
}  // namespace quern::quantize
// Keeps its place: the encoders are written over lanes of the width chosen above.
#include "kernels/quantize/encoders-inl.h"

namespace quern::quantize {

const EncoderTable kAvx2Encoders = encoders();

}  // namespace quern::quantize
