// Per format, from its traits alone and for any processor: the generic panel unpacker and the
// oracle's dot product. Every format of format_list.inc has them on its first day.
#pragma once

#include "kernels/cpu/kernel_types.h"
#include "kernels/formats/format.h"

namespace quern::cpu {

struct FormatKernels {
  bool quantized;
  PanelFormat panel;  // quantized formats
  OracleDot oracle;   // quantized formats
};

const FormatKernels& format_kernels(formats::FormatId id);

}  // namespace quern::cpu
