// Which of the ways to have a model is the best for a machine, and why.
//
// Of those that fit into the memory and reach the speed asked for, the one with the least error of
// the weights; where several have an error too small to matter (kNoError), the smallest of them.
// Pure: the same candidates and limits, the same answer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "models/fit/candidate.h"

namespace quern::fit {

// An error that answers hardly show: on stories260K Q8_0, with 3e-5, diverges from F32 by 7e-4,
// while Q5_1, with 1e-3, diverges by 9e-3 (README.md beside this file).
inline constexpr double kNoError = 1e-4;

struct Limits {
  uint64_t memory_bytes = 0;
  double decode_rate = 0;    // tokens/s of one sequence; 0: none
  loader::RunSize run = {};  // what the candidates were judged by, to say what could be changed
};

struct Recommendation {
  std::optional<size_t> index;  // nothing: none fits
  bool fast_enough = false;     // whether it is predicted to reach the rate
  std::string why;              // one sentence
};

Recommendation recommend(std::span<const Candidate> candidates, const Limits& limits);

}  // namespace quern::fit
