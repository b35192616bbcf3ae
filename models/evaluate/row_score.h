// What one row of logits says about the token that followed, alone and beside a reference's row.
//
// Everything in natural logarithms and double. The C library's exp and log are used: these figures
// are measurements, printed to some digits, and no part of an answer.
#pragma once

#include <cstdint>
#include <span>

#include "models/evaluate/reference_row.h"

namespace quern::evaluate {

// log of the sum of exp(x); x is not empty. NaN if any is.
double log_sum_exp(std::span<const float> x);

// -log of the probability that softmax(logits) gives to `target`.
double negative_log_likelihood(std::span<const float> logits, TokenId target);

struct RowDivergence {
  double nll = 0;            // of the target, by the candidate
  double reference_nll = 0;  // by the reference
  double kl = 0;             // Kullback-Leibler divergence of the candidate from the reference
  bool same_top = false;     // both find the same token likeliest
  // Probability of the target: the candidate's minus the reference's.
  double probability_change = 0;
};

RowDivergence compare_rows(std::span<const float> reference, std::span<const float> logits,
                           TokenId target);
// All tokens that the reference row does not list count as one, which makes the divergence a lower
// bound; what is missing is at most the divergence within that rest, times its probability.
RowDivergence compare_rows(const ReferenceRow& reference, std::span<const float> logits,
                           TokenId target);

}  // namespace quern::evaluate
