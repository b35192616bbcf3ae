// exp and log from additions, multiplications and one division each, so that every IEEE-754 machine
// returns the same bits (the C library's versions differ between releases and instruction sets).
//
// Relies on -ffp-contract=off. Accuracy, checked by test against the C library: 4e-16 relative.
#pragma once

namespace quern::engine {

// exp(x) for x <= 0; exactly 0 below -700, where a double is still normal.
double exact_exp(double x);
// Natural logarithm of a positive normal number.
double exact_log(double x);

}  // namespace quern::engine
