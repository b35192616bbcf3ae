#include "kernels/quantize/encoder.h"

#include "kernels/quantize/encoder_table.h"
#include "kernels/quantize/isa_tables.h"

namespace quern::quantize {
namespace {

using formats::FormatId;

struct Row {
  FormatId format;
  Encode EncoderTable::*searching;
};

constexpr Row kRows[] = {
#define QUERN_ENCODER(format) {FormatId::k##format, &EncoderTable::format},
#include "kernels/quantize/encoder_list.inc"
#undef QUERN_ENCODER
};

// Float formats have nothing to search for.
template <FormatId format>
void encode_plainly(const float* src, const float* /*importance*/, std::byte* dst,
                    int64_t n_values) {
  formats::format_info(format).encode_row(src, dst, n_values);
}

struct FloatRow {
  FormatId format;
  Encode encode;
};

constexpr FloatRow kFloatRows[] = {
    {FormatId::kF32, encode_plainly<FormatId::kF32>},
    {FormatId::kF16, encode_plainly<FormatId::kF16>},
    {FormatId::kBF16, encode_plainly<FormatId::kBF16>},
};

}  // namespace

Encode find_encoder(FormatId format, hardware::IsaMask isa) {
  for (const FloatRow& row : kFloatRows) {
    if (row.format == format) return row.encode;
  }
  for (const Row& row : kRows) {
    if (row.format == format) return encoder_table(isa).*row.searching;
  }
  return nullptr;
}

}  // namespace quern::quantize
