// The table of the non-matmul kernels of the instruction set being compiled.
#pragma once

#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/experts-inl.h"
#include "kernels/cpu/rope-inl.h"
#include "kernels/cpu/row_ops-inl.h"

namespace quern::cpu {
namespace {

constexpr OpKernels op_kernels() {
  OpKernels k{};
  k.quantize = quantize;
  k.rms_norm = rms_norm;
  k.rope_table = rope_table;
  k.rope = rope;
  k.kv_store = kv_store;
  k.attention = {attention, attention_part, attention_join};
  k.gated_activation = gated_activation;
  k.add = add;
  k.scale = scale;
  k.softcap = softcap;
  k.route = route;
  k.expert_combine = expert_combine;
  return k;
}

}  // namespace
}  // namespace quern::cpu
