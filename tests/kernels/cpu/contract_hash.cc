#include "tests/kernels/cpu/contract_hash.h"

#include <array>
#include <bit>
#include <charconv>

#include "tests/kernels/cpu/kernel_fixture.h"

namespace quern::cpu_tests {
namespace {

// FNV-1a over the bits.
uint64_t hash_floats(std::span<const float> values) {
  uint64_t hash = 0xCBF29CE484222325U;
  for (const float value : values) {
    uint32_t bits = std::bit_cast<uint32_t>(value);
    for (int i = 0; i < 4; ++i, bits >>= 8) hash = (hash ^ (bits & 0xFF)) * 0x100000001B3U;
  }
  return hash;
}

uint64_t hash_matmul(backend::Backend& backend, const formats::FormatInfo& format) {
  const int64_t n_in = format.quantized() ? 768 : 333;
  const RandomWeight weight(format, 35, n_in, 21, 1);
  Random random(22);
  const auto x = random.normals(static_cast<size_t>(n_in * 13));
  const auto bias = random.normals(35);
  auto loaded = backend.load_weight(weight.view(), "w");
  CHECK(loaded.ok());
  return hash_floats(multiply(backend, **loaded, x, 13, bias));
}

uint64_t hash_rows(backend::Backend& backend) {
  Random random(3);
  auto x = random.normals(6 * 100, 4.0F);
  const auto weight = random.normals(100);
  auto y = random.normals(6 * 100, 5.0F);
  backend.rms_norm({x.data(), 100, weight.data(), 1e-6F, x.data(), 100, 6, 100});
  backend.gated_activation(
      {ops::Activation::kSilu, y.data(), 100, x.data(), 100, y.data(), 100, 6, 100});
  backend.gated_activation(
      {ops::Activation::kGeluTanh, y.data(), 100, x.data(), 100, y.data(), 100, 6, 100});
  backend.scale({y.data(), 11.3F, 600});
  backend.add({x.data(), y.data(), 600});
  backend.softcap({y.data(), 7.0F, 600});
  return hash_floats(y);
}

// Rotates, stores and attends the tokens of one sequence.
uint64_t hash_attention(backend::Backend& backend, ops::KvFormat format, int32_t window,
                        int32_t dim = 40, int32_t n_tokens = 70) {
  constexpr int64_t kHeads = 6;
  constexpr int32_t kKvHeads = 2;
  Random random(31);
  auto q = random.normals(n_tokens * kHeads * dim, 2.0F);
  auto k = random.normals(n_tokens * kKvHeads * dim);
  const auto v = random.normals(n_tokens * kKvHeads * dim);
  std::vector<float> frequency;
  for (int i = 0; i < dim / 2; ++i) frequency.push_back(1.0F / static_cast<float>(1 << (i / 2)));
  std::vector<float> table(2 * n_tokens * dim / 2);
  float* sine = table.data() + table.size() / 2;
  const int32_t n_pages = (n_tokens + 31) / 32;
  std::vector<std::byte> keys(n_pages * kKvHeads * ops::kv_head_bytes(format, 32, dim));
  std::vector<std::byte> values(keys.size());
  const ops::KvLayerView view = {keys.data(), values.data(), format, 32, kKvHeads, dim};
  const std::vector<int32_t> tokens(n_tokens, 0);
  std::vector<int32_t> pages;
  for (int32_t i = 0; i < n_pages; ++i) pages.push_back((i + 2) % n_pages);
  const std::vector<ops::SequenceSlice> slices = {{0, n_tokens, 0, pages}};
  CHECK(backend.begin_step({tokens, slices, {}}).ok());
  backend.rope_table({frequency.data(), dim, 1.0F, table.data(), sine});
  backend.rope(
      {q.data(), kHeads * dim, kHeads, dim, dim, ops::RopePairing::kHalves, table.data(), sine});
  backend.rope({k.data(), kKvHeads * dim, kKvHeads, dim, dim, ops::RopePairing::kNeighbours,
                table.data(), sine});
  backend.kv_store({view, k.data(), v.data(), kKvHeads * dim});
  std::vector<float> y(q.size());
  backend.attention({view, q.data(), kHeads * dim, kHeads, 0.16F, window > 0 ? 20.0F : 0.0F, window,
                     y.data(), kHeads * dim});
  CHECK(backend.finish_step().ok());
  return hash_floats(y);
}

// Chooses experts, multiplies by them, and joins them with a shared one.
uint64_t hash_experts(backend::Backend& backend, bool normalize) {
  constexpr int64_t kRows = 11;
  constexpr int64_t kExperts = 20;
  constexpr int64_t kUsed = 3;
  constexpr int64_t kIn = 256;
  constexpr int64_t kOut = 40;
  const formats::FormatInfo& format = formats::format_info(formats::FormatId::kQ4_K);
  const RandomWeight stack(format, kExperts * kOut, kIn, 41);
  Random random(42);
  auto logits = random.normals(kRows * kExperts, 2.0F);
  const auto x = random.normals(kRows * kIn);
  const auto shared = random.normals(kRows * kOut);
  const auto gate = random.normals(kRows);
  auto loaded = backend.load_weight(stack.view(), "w");
  CHECK(loaded.ok());
  const dispatch::Weight* weight = loaded->get();
  RoutingMemory memory(kRows, kExperts, kUsed);
  backend.route({logits.data(), kRows, normalize, memory.view()});
  std::vector<float> chosen(kRows * kUsed * kOut);
  const ops::ExpertOutput output = {{&weight, 1}, kOut, chosen.data(), kOut};
  backend.expert_matmul({x.data(), kIn, false, kRows, memory.view(), {&output, 1}});
  std::vector<float> y(kRows * kOut);
  backend.expert_combine(
      {chosen.data(), memory.view(), shared.data(), gate.data(), y.data(), kRows, kOut});
  CHECK(backend.finish_step().ok());
  return hash_floats(y);
}

}  // namespace

std::vector<ContractHash> contract_hashes(backend::Backend& backend) {
  std::vector<ContractHash> hashes;
  for (const formats::FormatInfo* format : weight_formats()) {
    hashes.push_back({"matmul " + std::string(format->name), hash_matmul(backend, *format)});
  }
  hashes.push_back({"row operations", hash_rows(backend)});
  hashes.push_back({"attention f16", hash_attention(backend, ops::KvFormat::kF16, 0)});
  hashes.push_back({"attention f32", hash_attention(backend, ops::KvFormat::kF32, 0)});
  hashes.push_back({"attention window", hash_attention(backend, ops::KvFormat::kF16, 21)});
  hashes.push_back({"attention q8_0", hash_attention(backend, ops::KvFormat::kQ8_0, 0, 64)});
  hashes.push_back({"attention q4_0", hash_attention(backend, ops::KvFormat::kQ4_0, 0, 64)});
  hashes.push_back({"attention spans", hash_attention(backend, ops::KvFormat::kF16, 0, 8, 1070)});
  hashes.push_back({"experts", hash_experts(backend, false)});
  hashes.push_back({"experts normalized", hash_experts(backend, true)});
  return hashes;
}

std::string to_text(const std::vector<ContractHash>& hashes) {
  std::string text;
  for (const ContractHash& entry : hashes) {
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), entry.hash, 16);
    text.append(entry.name).append(" ").append(digits.data(), end.ptr).append("\n");
  }
  return text;
}

}  // namespace quern::cpu_tests
