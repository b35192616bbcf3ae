// How the kernels are put together from small functions.
//
//   QUERN_INLINE   operations on vectors: always inlined
//   QUERN_PART     pieces of a kernel: inlined too, except where QUERN_SMALL_CODE is defined
//   QUERN_PART_LAMBDA   behind the parameters of a lambda: the same
//   QUERN_UNROLL   in front of loops over registers
//
// Sanitized builds define QUERN_SMALL_CODE: with their checks, whole kernels as one function take
// the compiler minutes.
#pragma once

#define QUERN_INLINE __attribute__((always_inline)) inline

#ifdef QUERN_SMALL_CODE
#define QUERN_PART inline
#define QUERN_PART_LAMBDA
#define QUERN_UNROLL
#else
#define QUERN_PART QUERN_INLINE
#define QUERN_PART_LAMBDA __attribute__((always_inline))
#define QUERN_UNROLL _Pragma("GCC unroll 32")
#endif
