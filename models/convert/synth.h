// Random-weight models in the shapes of well-known ones, for benchmarks: the same tensors, formats
// and work per token as the real file, without a download. Their text is noise.
//
// Shapes are rows of synth_shape.inc. A matrix is put together from a pool of some thousand random
// blocks per format, so a file is written about as fast as the disk takes it. Same options, same
// bytes, whatever the number of threads. Other programs that read GGUF can run the files too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"

namespace quern::convert {

struct SynthShape {
  std::string_view name;
  std::string_view architecture;
  int64_t n_layers;
  int64_t n_embedding;
  int64_t n_heads;
  int64_t n_kv_heads;
  int64_t head_dim;
  int64_t n_feed_forward;
  int64_t n_vocab;
  int64_t context_length;
  float rope_base;
  float rope_stretch;  // factor of Llama 3's frequency scaling; 0: none
  bool tied_output;
  int64_t n_experts;  // 0: dense
  int64_t n_experts_used;
};

std::span<const SynthShape> synth_shapes();
// "tinyllama-1.1b, llama-3.2-1b, ...": for messages.
std::string synth_shape_names();

struct SynthOptions {
  std::string shape;   // a name of synth_shapes()
  std::string format;  // a file recipe ("Q4_K_M") or a tensor format ("Q4_K": every matrix)
  bool pure = false;   // take `format` as a tensor format even if a recipe has its name
  uint64_t seed = 1;
  int threads = 1;
  // Called from time to time with the bytes written so far and in all.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

struct SynthReport {
  std::string name;
  uint64_t n_tensors = 0;
  uint64_t n_parameters = 0;
  uint64_t tensor_bytes = 0;
};

// Errors: unknown shape or format (lists the known ones), a format that stores no weights, whatever
// the file system refuses. The path holds a complete file or what it held before.
Result<SynthReport> write_synthetic_model(const SynthOptions& options,
                                          const std::filesystem::path& path);
// The same in memory; for small shapes.
Result<std::vector<std::byte>> synthetic_model_bytes(const SynthOptions& options);

}  // namespace quern::convert
