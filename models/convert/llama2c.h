// Converts the model and tokenizer files of the llama2.c project (version 0 layout) to GGUF.
//
// The model file: seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size,
// seq_len), then float32 arrays: token embedding [vocab, dim], for all layers together
// rms_att [dim], wq [dim, dim], wk and wv [kv_dim, dim], wo [dim, dim], rms_ffn [dim],
// w1 [hidden, dim], w2 [dim, hidden], w3 [hidden, dim], then rms_final [dim] and two RoPE tables
// [seq_len, head_dim / 2], which are skipped. A negative vocab_size means that an output matrix
// [vocab, dim] follows; otherwise it is the token embedding. RoPE pairs neighbouring values, as
// GGUF files of architecture `llama` do, so no row moves.
// The tokenizer file: int32 longest token, then per token float32 score, int32 length, bytes.
// Source: github.com/karpathy/llama2.c, run.c and export.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "config/base/result.h"

namespace quern::convert {

// What the source files do not say.
struct Llama2cLabels {
  std::string name;     // general.name; the stem of the model file when empty
  std::string license;  // general.license, an SPDX id in lower case; left out when empty
};

struct ConvertReport {
  std::string name;
  uint64_t n_tensors = 0;
  uint64_t n_weights = 0;
  uint64_t n_tokens = 0;
  uint64_t file_bytes = 0;  // of the GGUF file
};

// Writes an F32 GGUF file of architecture `llama` at `out_path`, which appears only when complete.
// Errors name the file and field: sizes that do not fit together, out of range, truncated.
Result<ConvertReport> convert_llama2c(const std::filesystem::path& bin_path,
                                      const std::filesystem::path& tokenizer_path,
                                      const std::filesystem::path& out_path,
                                      const Llama2cLabels& labels = {});

}  // namespace quern::convert
