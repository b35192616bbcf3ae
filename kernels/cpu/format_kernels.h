// Per format, from its traits alone and for any processor: the generic panel unpacker and the
// oracle's dot product. Every format of format_list.inc has them on its first day.
#pragma once

#include "kernels/cpu/kernel_types.h"
#include "kernels/formats/format.h"

namespace quern::cpu {

// The form in which a format's matrix product takes activations.
enum class ActivationForm : uint8_t { kFloats, kBlocks, kSuperBlocks };

struct FormatKernels {
  ActivationForm input;
  PanelFormat panel;  // quantized formats
  // Null for float formats.
  const PanelFormat* panel_format() const {
    return input == ActivationForm::kFloats ? nullptr : &panel;
  }
  OracleDot oracle;  // quantized formats
};

const FormatKernels& format_kernels(formats::FormatId id);

}  // namespace quern::cpu
