// The hyper-parameters of a decoder model as plain numbers, read and checked once at load.
//
// Every value here has passed the range of its table row and the cross-checks of
// read_hyper_params(); users may multiply two of them without overflow.
#pragma once

#include <cstdint>
#include <string_view>

#include "config/base/result.h"
#include "models/gguf/metadata.h"

namespace quern::arch {

struct ArchSpec;

enum class RopeScaling : uint8_t { kNone, kLinear, kYarn, kLongRope };

struct HyperParams {
  int64_t n_layers = 0;
  int64_t context_length = 0;  // trained
  int64_t n_embedding = 0;
  int64_t n_feed_forward = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;   // of queries, keys and values alike
  int64_t value_dim = 0;  // equals head_dim
  int64_t n_rot = 0;      // leading values of a head that are rotated; even
  int64_t n_vocab = 0;
  int64_t sliding_window = 0;  // 0: none
  int64_t n_experts = 0;       // 0: dense
  int64_t n_experts_used = 0;  // per token; 1 .. n_experts unless dense
  int64_t n_expert_feed_forward = 0;
  int64_t n_shared_feed_forward = 0;  // of the expert that every token uses; 0: there is none

  double norm_epsilon = 0;
  double attention_scale = 0;    // factor on q.k
  double attention_softcap = 0;  // 0: none
  double final_softcap = 0;      // 0: none

  RopeScaling rope_scaling = RopeScaling::kNone;
  double rope_base = 0;
  double rope_factor = 1;            // context extension of linear and YaRN scaling
  double rope_attention_factor = 1;  // further factor on cosine and sine
  double rope_beta_fast = 32;
  double rope_beta_slow = 1;
  int64_t rope_original_context = 0;  // context before extension

  int64_t query_width() const { return n_heads * head_dim; }
  int64_t kv_width() const { return n_kv_heads * head_dim; }
};

// Reads the keys of `spec` from `metadata`, fills in what follows from other values, and
// cross-checks. `n_tokens` is the length of the file's vocabulary. Errors name the key, the value
// found and the range expected; per-layer shapes, experts in an architecture without them and ways
// of routing other than this architecture's own are kUnsupported.
Result<HyperParams> read_hyper_params(const ArchSpec& spec, const gguf::Metadata& metadata,
                                      int64_t n_tokens);

}  // namespace quern::arch
