// Lets a model read a text and sums up what comes into each matrix of its blocks; into those of an
// expert come the tokens that chose it.
//
// The text is read in chunks of equal length, each from an empty context; a rest is left out. Sums
// of a chunk are added to those before, in order, so reading on later gives the same bytes as
// reading at once, with any number of threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "kernels/backend/backend.h"
#include "models/convert/importance_sums.h"
#include "models/loader/model.h"

namespace quern::calibrate {

struct CollectOptions {
  int32_t chunk_tokens = 512;
  uint32_t max_chunks = 0;  // 0: all of the text
  // Chunks between two calls of save.
  uint32_t save_every = 16;
  std::function<Status()> save = {};
  std::function<void(uint64_t done, uint64_t total)> progress = {};
  const std::atomic<bool>* stop = nullptr;  // set from elsewhere to stop after the current chunk
};

// What is read of a text: all of it as plain text, after BOS where the vocabulary wants one, as
// llama-imatrix does. Errors: those of the tokenizer.
Result<std::vector<int32_t>> calibration_tokens(const tokenizer::Tokenizer& tokenizer,
                                                std::string_view text);

// How many chunks there are to read in all.
uint32_t chunks_of(size_t n_tokens, const CollectOptions& options);

// Experts' matrices that no token of the text chose: "blk.0.ffn_up_exps.weight[3]" of a stack.
std::vector<std::string> matrices_without_input(const convert::ImportanceSums& sums);

// Goes on with `sums` from chunk sums.n_chunks to the last and saves at the end. `model` is loaded
// into `backend`, which computes in host memory. Errors: a step failed, the model file went away,
// an entry of `sums` has another shape, interrupted (kCancelled, after saving).
Status collect_importance(backend::Backend& backend, const loader::Model& model,
                          std::span<const int32_t> tokens, const CollectOptions& options,
                          convert::ImportanceSums& sums);

}  // namespace quern::calibrate
