// The families of tensor formats: what kind of encoder and kernel a format needs.
//
// Apart from format.h so that the block headers, which CUDA and Metal read too, can name it.
#pragma once

namespace quern::formats {

enum class FormatFamily : unsigned char { kFloat, kInteger, kSimple, kK, kIq, kTernary, kMx };

}  // namespace quern::formats
