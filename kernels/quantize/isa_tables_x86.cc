#include "kernels/quantize/isa_tables.h"

namespace quern::quantize {

const EncoderTable& encoder_table(hardware::IsaMask isa) {
  if (isa.contains(hardware::Isa::kAvx512)) return kAvx512Encoders;
  if (isa.contains(hardware::Isa::kAvx2)) return kAvx2Encoders;
  return kScalarEncoders;
}

}  // namespace quern::quantize
