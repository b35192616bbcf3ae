// What a quotient value / scale is rounded to: the levels of a format, and their codes.
//
//   level(v)      the nearest level (NaN: some level)
//   code(level)   the number that the format stores for it
//   kPeak         the level of largest magnitude
#pragma once

#include "kernels/formats/codebooks.h"
#include "kernels/quantize/lanes-inl.h"

namespace quern::quantize {
namespace {

// The whole numbers from low to high; codes count from low.
template <int low, int high>
struct WholeLevels {
  static constexpr float kPeak = -low >= high ? static_cast<float>(low) : static_cast<float>(high);

  QUERN_LANE_FN static Lanes level(Lanes v) {
    return rounded(clamped(v, static_cast<float>(low), static_cast<float>(high)));
  }
  QUERN_LANE_FN static Lanes code(Lanes level) { return level - static_cast<float>(low); }
};

// IQ4_NL's 16 uneven steps.
struct Iq4Levels {
  static constexpr float kPeak = -127.0F;

  QUERN_LANE_FN static Lanes level(Lanes v) {
    Lanes nearest = splat(static_cast<float>(formats::kIq4Values[0]));
    for (int i = 1; i < 16; ++i) {
      nearest =
          select(v > middle_below(i), splat(static_cast<float>(formats::kIq4Values[i])), nearest);
    }
    return nearest;
  }
  QUERN_LANE_FN static Lanes code(Lanes level) {
    Lanes code = splat(0.0F);
    for (int i = 1; i < 16; ++i) {
      code = select(level > middle_below(i), splat(static_cast<float>(i)), code);
    }
    return code;
  }

 private:
  QUERN_LANE_FN static float middle_below(int i) {
    return 0.5F * static_cast<float>(formats::kIq4Values[i - 1] + formats::kIq4Values[i]);
  }
};

// MXFP4's doubled E2M1 values 0, 1, 2, 3, 4, 6, 8, 12; codes 8 and up are the negative ones.
struct Fp4Levels {
  static constexpr float kPeak = 12.0F;

  QUERN_LANE_FN static Lanes level(Lanes v) {
    const Lanes size = magnitude(v);
    Lanes nearest = splat(0.0F);
    for (int i = 1; i < 8; ++i) {
      nearest = select(size > middle_below(i), splat(static_cast<float>(formats::kFp4Values[i])),
                       nearest);
    }
    return select(v < 0.0F, -nearest, nearest);
  }
  QUERN_LANE_FN static Lanes code(Lanes level) {
    const Lanes size = magnitude(level);
    Lanes code = splat(0.0F);
    for (int i = 1; i < 8; ++i) {
      code = select(size > middle_below(i), splat(static_cast<float>(i)), code);
    }
    return select(level < 0.0F, code + 8.0F, code);
  }

 private:
  QUERN_LANE_FN static float middle_below(int i) {
    return 0.5F * static_cast<float>(formats::kFp4Values[i - 1] + formats::kFp4Values[i]);
  }
};

}  // namespace
}  // namespace quern::quantize
