// The feed-forward part of a layer with experts.
#pragma once

#include <cstdint>

#include "kernels/backend/backend.h"
#include "models/graph/scratch.h"
#include "models/graph/weights.h"

namespace quern::graph {

// Replaces the n_rows rows in scratch.normed by what their experts make of them. Each expert's
// matrices are read once, however many rows go to it.
void run_experts(backend::Backend& backend, const DecoderWeights& weights,
                 const ExpertWeights& experts, const Scratch& scratch, int64_t n_rows);

}  // namespace quern::graph
