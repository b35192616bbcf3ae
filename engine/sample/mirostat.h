// Mirostat: keeps the surprise of the drawn tokens near a target by moving a bound `mu` on it.
//
// Source: Basu, Ramachandran, Keskar, Varshney: "Mirostat: a neural text decoding algorithm that
// directly controls perplexity", ICLR 2021. As in llama.cpp, for whose users the usual values of
// tau and eta are: version 1 estimates Zipf's exponent from the 100 likeliest tokens and keeps k of
// them, rounded down; version 2 keeps the tokens whose surprise is at most mu, at least the best;
// both measure a token's surprise in the distribution it was drawn from (the paper measures it
// before tokens are dropped).
//
// Temperature, bias, penalties and DRY come before it; the stages that drop tokens do not run.
#pragma once

#include "engine/sample/stages.h"

namespace quern::engine {

// mu before the first token.
inline double mirostat_start(const SamplingParams& params) { return 2.0 * params.mirostat_tau; }

// Draws one of state.candidates and moves `mu`. `u` in [0, 1). Precondition: params.mirostat is 1
// or 2.
TokenId draw_mirostat(ChainState& state, const SamplingParams& params, double u, double& mu);

}  // namespace quern::engine
