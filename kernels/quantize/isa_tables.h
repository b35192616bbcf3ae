// The table of the best instruction set of a machine; one definition per kind of processor.
#pragma once

#include "config/hardware/profile.h"
#include "kernels/quantize/encoder_table.h"

namespace quern::quantize {

const EncoderTable& encoder_table(hardware::IsaMask isa);

}  // namespace quern::quantize
