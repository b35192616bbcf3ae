// Pages of keys and values: how they are laid out, written and read.
//
// Inside a page keys are stored transposed, [kv head][head_dim][token in page], and values as
// [kv head][token in page][head_dim]: 16 scores are then 16 lanes and need no reduction. Blocks of
// the quantized formats are 32 values of one token along head_dim; their f16 scales follow the
// integers of the head, for keys [head_dim / 32][token], for values [token][head_dim / 32]. The low
// nibbles of a q4_0 block are its values 0..15, the high ones 16..31, as in GGUF.
// Source: Kwon et al., "Efficient memory management for LLM serving with PagedAttention" (2023).
#pragma once

#include "kernels/cpu/row_ops-inl.h"

namespace quern::cpu {
namespace {

QUERN_PART void narrow(const Vec& v, uint16_t* out) { v_store_f16(out, v); }
QUERN_PART void narrow(const Vec& v, float* out) { v_store(out, v); }

// The place of one token of one kv head.
struct KvPlace {
  std::byte* key_page;
  std::byte* value_page;
  int64_t dim;
  int64_t tokens;
  int64_t offset;  // token in page
};

// Keys strided by the page, values contiguous.
template <typename Element>
void store_floats(const float* key, const float* value, const KvPlace& place) {
  Element* keys = reinterpret_cast<Element*>(place.key_page);
  Element* values = reinterpret_cast<Element*>(place.value_page);
  for_vectors(0, place.dim, [&](int64_t i, int64_t count) {
    Element elements[kVecLanes];
    narrow(load_some(key + i, count), elements);
    for (int64_t j = 0; j < count; ++j) keys[(i + j) * place.tokens + place.offset] = elements[j];
    narrow(load_some(value + i, count), elements);
    std::memcpy(values + place.offset * place.dim + i, elements,
                static_cast<size_t>(count) * sizeof(Element));
  });
}

QUERN_PART uint16_t f16_bits(float value) {
  uint16_t bits[kVecLanes];
  v_store_f16(bits, v_set(value));
  return bits[0];
}

// One block of 32 values as integers -127..127; returns the scale.
QUERN_PART float encode_eight(const float* x, int8_t* q) {
  int32_t sums[2];
  return quantize_block<2>(x, q, sums);
}

// One block of 32 values as integers 0..15 standing for -8..7; returns the scale, with the sign
// that maps the value of largest magnitude to -8.
QUERN_PART float encode_four(const float* x, int8_t* q) {
  const Vec low = v_load(x);
  const Vec high = v_load(x + kVecLanes);
  const VecI magnitudes = v_max_int(v_bits(v_abs(low)), v_bits(v_abs(high)));
  const int32_t peak = v_reduce_max_int(magnitudes);
  if (peak >= 0x7F800000) {
    std::memset(q, 0, 2 * kVecLanes);
    return __builtin_nanf("");
  }
  if (peak < 0x0D800000) {  // below 2^-100: no scale of f16 shows it
    std::memset(q, 8, 2 * kVecLanes);
    return 0.0F;
  }
  const float top = v_reduce_max(v_max(low, high));
  const float bottom = -v_reduce_max(v_max(v_sub(v_zero(), low), v_sub(v_zero(), high)));
  const float extreme = top > -bottom ? top : bottom;
  const Vec inverse = v_set(-8.0F / extreme);
  const Vec seven = v_set(7.0F);
  const VecI eight = v_set_int(8);
  v_store_i8(q, v_add_int(round_to_int(v_min(v_mul(low, inverse), seven)), eight));
  v_store_i8(q + kVecLanes, v_add_int(round_to_int(v_min(v_mul(high, inverse), seven)), eight));
  return extreme / -8.0F;
}

void store_eights(const float* key, const float* value, const KvPlace& place) {
  const int64_t n_blocks = place.dim / 32;
  int8_t* keys = reinterpret_cast<int8_t*>(place.key_page);
  int8_t* values = reinterpret_cast<int8_t*>(place.value_page);
  uint16_t* key_scales = reinterpret_cast<uint16_t*>(keys + place.dim * place.tokens);
  uint16_t* value_scales = reinterpret_cast<uint16_t*>(values + place.dim * place.tokens);
  for (int64_t b = 0; b < n_blocks; ++b) {
    int8_t q[32];
    key_scales[b * place.tokens + place.offset] = f16_bits(encode_eight(key + 32 * b, q));
    for (int64_t i = 0; i < 32; ++i) keys[(32 * b + i) * place.tokens + place.offset] = q[i];
    value_scales[place.offset * n_blocks + b] =
        f16_bits(encode_eight(value + 32 * b, values + place.offset * place.dim + 32 * b));
  }
}

void store_fours(const float* key, const float* value, const KvPlace& place) {
  const int64_t n_blocks = place.dim / 32;
  uint8_t* keys = reinterpret_cast<uint8_t*>(place.key_page);
  uint8_t* values = reinterpret_cast<uint8_t*>(place.value_page);
  uint16_t* key_scales = reinterpret_cast<uint16_t*>(keys + place.dim / 2 * place.tokens);
  uint16_t* value_scales = reinterpret_cast<uint16_t*>(values + place.dim / 2 * place.tokens);
  const auto pair = [](const int8_t* q, int64_t i) {
    return static_cast<uint8_t>(q[i] | (q[i + 16] << 4));
  };
  for (int64_t b = 0; b < n_blocks; ++b) {
    int8_t q[32];
    key_scales[b * place.tokens + place.offset] = f16_bits(encode_four(key + 32 * b, q));
    for (int64_t i = 0; i < 16; ++i) keys[(16 * b + i) * place.tokens + place.offset] = pair(q, i);
    value_scales[place.offset * n_blocks + b] = f16_bits(encode_four(value + 32 * b, q));
    uint8_t* to = values + (place.offset * n_blocks + b) * 16;
    for (int64_t i = 0; i < 16; ++i) to[i] = pair(q, i);
  }
}

void kv_store(const ops::KvStoreArgs& args, const KvSlot* slots, int64_t token_begin,
              int64_t token_end) {
  using Store = void (*)(const float* key, const float* value, const KvPlace& place);
  // In the order of KvFormat.
  static constexpr Store kStore[] = {store_floats<float>, store_floats<uint16_t>, store_eights,
                                     store_fours};
  const ops::KvLayerView& cache = args.cache;
  const int64_t dim = cache.head_dim;
  const int64_t head_bytes = ops::kv_head_bytes(cache.format, cache.page_tokens, dim);
  for (int64_t t = token_begin; t < token_end; ++t) {
    for (int64_t h = 0; h < cache.n_kv_heads; ++h) {
      const int64_t at = (slots[t].page * int64_t{cache.n_kv_heads} + h) * head_bytes;
      const KvPlace place = {cache.keys + at, cache.values + at, dim, cache.page_tokens,
                             slots[t].offset};
      const float* key = args.keys + t * args.stride + h * dim;
      const float* value = args.values + t * args.stride + h * dim;
      kStore[static_cast<size_t>(cache.format)](key, value, place);
    }
  }
}

// One kv head of one page, as stored. Readers have key(d, t): element d of the keys of tokens
// t..t+15, and value(t, d, count): elements d..d+count-1 of the value of token t, zeros behind.
struct StoredHead {
  const std::byte* keys;
  const std::byte* values;
  int64_t dim;
  int64_t tokens;
};

template <ops::KvFormat format>
struct KvReader;

template <>
struct KvReader<ops::KvFormat::kF32> {
  const float* keys;
  const float* values;
  int64_t dim;
  int64_t tokens;

  QUERN_PART explicit KvReader(const StoredHead& head)
      : keys(reinterpret_cast<const float*>(head.keys)),
        values(reinterpret_cast<const float*>(head.values)),
        dim(head.dim),
        tokens(head.tokens) {}
  QUERN_PART Vec key(int64_t d, int64_t t) const { return v_load(keys + d * tokens + t); }
  QUERN_PART Vec value(int64_t t, int64_t d, int64_t count) const {
    return load_some(values + t * dim + d, count);
  }
};

template <>
struct KvReader<ops::KvFormat::kF16> {
  const uint16_t* keys;
  const uint16_t* values;
  int64_t dim;
  int64_t tokens;

  QUERN_PART explicit KvReader(const StoredHead& head)
      : keys(reinterpret_cast<const uint16_t*>(head.keys)),
        values(reinterpret_cast<const uint16_t*>(head.values)),
        dim(head.dim),
        tokens(head.tokens) {}
  QUERN_PART Vec key(int64_t d, int64_t t) const { return v_load_f16(keys + d * tokens + t); }
  QUERN_PART Vec value(int64_t t, int64_t d, int64_t count) const {
    const uint16_t* from = values + t * dim + d;
    return count == kVecLanes ? v_load_f16(from) : v_load_first_f16(from, count);
  }
};

template <>
struct KvReader<ops::KvFormat::kQ8_0> {
  const int8_t* keys;
  const int8_t* values;
  const uint16_t* key_scales;
  const uint16_t* value_scales;
  int64_t dim;
  int64_t tokens;

  QUERN_PART explicit KvReader(const StoredHead& head)
      : keys(reinterpret_cast<const int8_t*>(head.keys)),
        values(reinterpret_cast<const int8_t*>(head.values)),
        key_scales(reinterpret_cast<const uint16_t*>(keys + head.dim * head.tokens)),
        value_scales(reinterpret_cast<const uint16_t*>(values + head.dim * head.tokens)),
        dim(head.dim),
        tokens(head.tokens) {}
  QUERN_PART Vec key(int64_t d, int64_t t) const {
    const Vec scale = v_load_f16(key_scales + d / 32 * tokens + t);
    return v_mul(v_to_float(v_load_i8(keys + d * tokens + t)), scale);
  }
  QUERN_PART Vec value(int64_t t, int64_t d, int64_t /*count*/) const {
    const Vec scale = v_set_f16(value_scales[t * (dim / 32) + d / 32]);
    return v_mul(v_to_float(v_load_i8(values + t * dim + d)), scale);
  }
};

template <>
struct KvReader<ops::KvFormat::kQ4_0> {
  const uint8_t* keys;
  const uint8_t* values;
  const uint16_t* key_scales;
  const uint16_t* value_scales;
  int64_t dim;
  int64_t tokens;

  QUERN_PART explicit KvReader(const StoredHead& head)
      : keys(reinterpret_cast<const uint8_t*>(head.keys)),
        values(reinterpret_cast<const uint8_t*>(head.values)),
        key_scales(reinterpret_cast<const uint16_t*>(keys + head.dim / 2 * head.tokens)),
        value_scales(reinterpret_cast<const uint16_t*>(values + head.dim / 2 * head.tokens)),
        dim(head.dim),
        tokens(head.tokens) {}
  // Of bytes whose low (high) nibbles are wanted.
  QUERN_PART static Vec decode(const uint8_t* bytes, bool high, const Vec& scale) {
    const VecI both = v_load_u8(bytes);
    const VecI q = high ? v_sar<4>(both) : v_and(both, v_set_int(0x0F));
    return v_mul(v_to_float(v_sub_int(q, v_set_int(8))), scale);
  }
  QUERN_PART Vec key(int64_t d, int64_t t) const {
    const Vec scale = v_load_f16(key_scales + d / 32 * tokens + t);
    const int64_t row = d / 32 * 16 + d % 16;
    return decode(keys + row * tokens + t, d % 32 >= 16, scale);
  }
  QUERN_PART Vec value(int64_t t, int64_t d, int64_t /*count*/) const {
    const int64_t block = t * (dim / 32) + d / 32;
    return decode(values + block * 16, d % 32 >= 16, v_set_f16(value_scales[block]));
  }
};

// A page widened to f32 for many queries; see widen_page().
struct WideReader {
  const float* keys;    // [head_dim][tokens]
  const float* values;  // [tokens][padded head_dim]
  int64_t tokens;
  int64_t padded;

  QUERN_PART Vec key(int64_t d, int64_t t) const { return v_load(keys + d * tokens + t); }
  QUERN_PART Vec value(int64_t t, int64_t d, int64_t /*count*/) const {
    return v_load(values + t * padded + d);
  }
};

// Positions from n_valid on are not read for values; their keys are whatever the page holds, in
// lanes that are masked later.
template <typename Reader>
QUERN_PART void widen_page(const Reader& page, int64_t n_valid, int64_t padded, float* keys,
                           float* values) {
  for (int64_t d = 0; d < page.dim; ++d) {
    for (int64_t t = 0; t < page.tokens; t += kVecLanes) {
      v_store(keys + d * page.tokens + t, page.key(d, t));
    }
  }
  for (int64_t t = 0; t < n_valid; ++t) {
    for_vectors(0, page.dim, [&](int64_t d, int64_t count) {
      v_store(values + t * padded + d, page.value(t, d, count));
    });
  }
}

}  // namespace
}  // namespace quern::cpu
