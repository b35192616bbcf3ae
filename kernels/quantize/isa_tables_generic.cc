#include "kernels/quantize/isa_tables.h"

namespace quern::quantize {

// Four lanes are what the baseline of 64-bit Arm has; other processors get them from the compiler.
const EncoderTable& encoder_table(hardware::IsaMask /*isa*/) { return kScalarEncoders; }

}  // namespace quern::quantize
