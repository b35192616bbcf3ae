#include "tests/kernels/cpu/kernel_fixture.h"

#include <bit>
#include <cmath>

#include "config/base/half.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/formats/all_blocks.h"

namespace quern::cpu_tests {
namespace {

uint16_t small_f16(Random& random) { return f32_to_f16(random.unit() * 0.02F); }

// Puts usable scales into a block of random bytes.
template <typename Block>
void fix_scales(Block& block, Random& random) {
  if constexpr (requires { block.scales[3] & 0xF000; } &&
                sizeof(block) == sizeof(formats::BlockIQ1_M)) {
    // The f16 scale is spread over the top nibbles.
    const uint16_t d = small_f16(random);
    for (int i = 0; i < 4; ++i) {
      const int nibble = (d >> (4 * i)) & 0x0F;
      block.scales[i] = static_cast<uint16_t>((block.scales[i] & 0x0FFF) | (nibble << 12));
    }
  }
  if constexpr (requires { block.e; }) block.e = static_cast<uint8_t>(118 + random.next() % 8);
  if constexpr (requires { block.d; }) {
    if constexpr (std::is_same_v<decltype(block.d), uint16_t>) block.d = small_f16(random);
    if constexpr (std::is_same_v<decltype(block.d), float>) block.d = random.unit() * 0.02F;
  }
  if constexpr (requires { block.dmin; }) block.dmin = small_f16(random);
  if constexpr (requires { block.m; }) block.m = small_f16(random);
  if constexpr (requires { block.bits; }) {
    // F16, BF16 and F32 by their upper half.
    if constexpr (std::is_same_v<decltype(block.bits), uint16_t>) {
      const bool half = std::is_same_v<Block, formats::BlockF16>;
      const float value = random.normal();
      block.bits = half ? f32_to_f16(value) : f32_to_bf16(value);
    }
  }
  if constexpr (requires { block.value; }) {
    if constexpr (std::is_floating_point_v<decltype(block.value)>) block.value = random.normal();
  }
}

template <typename Format>
void fill(std::byte* to, int64_t n_values, Random& random) {
  using Block = typename Format::Block;
  for (int64_t v = 0; v < n_values; v += Format::kBlockValues, to += sizeof(Block)) {
    Block block;
    auto* bytes = reinterpret_cast<uint8_t*>(&block);
    for (size_t i = 0; i < sizeof(Block); ++i) bytes[i] = static_cast<uint8_t>(random.next() >> 32);
    fix_scales(block, random);
    std::memcpy(to, &block, sizeof(Block));
  }
}

using Fill = void (*)(std::byte* to, int64_t n_values, Random& random);
constexpr Fill kFill[] = {
#define QUERN_FORMAT(id, name, traits) fill<formats::traits>,
#include "kernels/formats/format_list.inc"
#undef QUERN_FORMAT
};

}  // namespace

uint64_t Random::next() {
  state_ += 0x9E3779B97F4A7C15U;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

float Random::unit() { return static_cast<float>(next() >> 40) * 0x1p-23F - 1.0F; }

float Random::normal() {
  float sum = 0;
  for (int i = 0; i < 3; ++i) sum += unit();
  return sum;
}

std::vector<float> Random::normals(size_t n, float scale) {
  std::vector<float> values(n);
  for (float& v : values) v = normal() * scale;
  return values;
}

RandomWeight::RandomWeight(const formats::FormatInfo& format, int64_t n_rows, int64_t n_cols,
                           uint64_t seed, size_t offset) {
  Random random(seed);
  const auto row_bytes = formats::row_bytes(format, static_cast<uint64_t>(n_cols));
  CHECK(row_bytes.has_value());
  bytes_ = std::make_unique<std::byte[]>(offset + *row_bytes * static_cast<size_t>(n_rows));
  view_ = {bytes_.get() + offset, &format, n_rows, n_cols, static_cast<int64_t>(*row_bytes)};
  for (int64_t r = 0; r < n_rows; ++r) {
    kFill[static_cast<size_t>(format.id)](bytes_.get() + offset + r * view_.row_bytes, n_cols,
                                          random);
  }
}

std::vector<float> RandomWeight::decoded() const {
  std::vector<float> values(static_cast<size_t>(view_.n_rows * view_.n_cols));
  for (int64_t r = 0; r < view_.n_rows; ++r) {
    view_.format->decode_row(view_.row(r), values.data() + r * view_.n_cols, view_.n_cols);
  }
  return values;
}

const hardware::HardwareProfile& this_machine() {
  static const hardware::HardwareProfile profile = hardware::probe_hardware();
  return profile;
}

std::vector<std::string> isa_caps() {
  std::vector<std::string> caps = {"scalar"};
  for (int i = 0; i < static_cast<int>(hardware::Isa::kCount); ++i) {
    const auto isa = static_cast<hardware::Isa>(i);
    if (this_machine().cpu.isa.contains(isa)) caps.emplace_back(hardware::isa_name(isa));
  }
  return caps;
}

std::unique_ptr<backend::Backend> make_backend(std::string_view isa_cap, int threads,
                                               std::vector<std::string> forced) {
  auto made = cpu::create_cpu_backend({this_machine(), threads, forced, isa_cap});
  CHECK(made.ok());
  return std::move(made).value();
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) return false;
  }
  return true;
}

std::vector<const formats::FormatInfo*> weight_formats() {
  std::vector<const formats::FormatInfo*> formats;
  for (const formats::FormatInfo& format : formats::all_formats()) {
    if (format.decode_row != nullptr) formats.push_back(&format);
  }
  return formats;
}

RoutingMemory::RoutingMemory(int64_t n_rows, int64_t experts_in_all, int64_t experts_used)
    : n_experts(experts_in_all),
      n_used(experts_used),
      experts(static_cast<size_t>(n_rows * n_used)),
      places(experts.size()),
      sources(experts.size()),
      firsts(static_cast<size_t>(n_experts) + 1),
      weights(experts.size()) {}

ops::ExpertRouting RoutingMemory::view() {
  return {n_experts,     n_used,         experts.data(), weights.data(),
          places.data(), sources.data(), firsts.data()};
}

std::vector<float> multiply(backend::Backend& backend, const dispatch::Weight& weight,
                            std::span<const float> x, int64_t n_rows, std::span<const float> bias) {
  const int64_t n_out = weight.view.n_rows;
  // One more than needed, to see writes past the end.
  std::vector<float> y(static_cast<size_t>(n_rows * n_out) + 1, 77.0F);
  const ops::MatmulOutput output = {&weight, bias.empty() ? nullptr : bias.data(), y.data(), n_out};
  backend.matmul({x.data(), weight.view.n_cols, n_rows, {&output, 1}});
  CHECK(backend.finish_step().ok());
  CHECK(y.back() == 77.0F);
  y.pop_back();
  return y;
}

}  // namespace quern::cpu_tests
