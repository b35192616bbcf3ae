// The one host copy of the tables in codebooks.h.
#include "kernels/formats/codebooks.h"

namespace quern::formats {

#include "kernels/formats/codebook_tables.inc"

}  // namespace quern::formats
