// What every processor of the architecture has: SSE2, or Neon.
namespace quern::quantize {
namespace {
constexpr int kLanes = 4;
}
}  // namespace quern::quantize
// Keeps its place: the encoders are written over lanes of the width chosen above.
#include "kernels/quantize/encoders-inl.h"

namespace quern::quantize {

const EncoderTable kScalarEncoders = encoders();

}  // namespace quern::quantize
