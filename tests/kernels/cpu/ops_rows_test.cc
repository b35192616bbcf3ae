// The operations other than matmul and attention: every row, by name, gives the bits of the scalar
// row, and the scalar row agrees with double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "kernels/cpu/cpu_rows.h"
#include "kernels/cpu/cpu_scratch.h"
#include "kernels/dispatch/kernel_registry.h"
#include "kernels/formats/activation_q8.h"
#include "tests/kernels/cpu/kernel_fixture.h"

namespace quern::cpu_tests {
namespace {

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInfinity = std::numeric_limits<float>::infinity();

// Calls compute(backend) with the scalar row and with each other row of `op` forced.
void expect_same_rows(ops::OpId op,
                      const std::function<std::vector<float>(backend::Backend&)>& compute) {
  auto scalar = make_backend("scalar");
  const std::vector<float> expected = compute(*scalar);
  for (const dispatch::KernelRow& row : cpu::cpu_rows()) {
    if (row.op != op || !this_machine().cpu.isa.contains(row.needs)) continue;
    const std::string name(row.name);
    for (int threads : {1, 3}) {
      auto forced = make_backend("", threads, {std::string(dispatch::op_name(op)) + "=" + name});
      bool explained = false;
      for (const std::string& line : forced->explain()) {
        explained |= line.find(name + " (forced by name") != std::string::npos;
      }
      EXPECT_TRUE(explained) << name;
      EXPECT_TRUE(same_bits(compute(*forced), expected)) << name << " threads " << threads;
    }
  }
}

// Values with a few special ones.
std::vector<float> mixed_values(size_t n, uint64_t seed, float scale = 1.0F) {
  Random random(seed);
  auto values = random.normals(n, scale);
  const float special[] = {0.0F, -0.0F, kInfinity, -kInfinity, kNan, 1e-42F, 3e38F, -3e38F};
  for (size_t i = 0; i < std::size(special) && 11 * i + 3 < n; ++i) values[11 * i + 3] = special[i];
  return values;
}

TEST(OpRows, RmsNorm) {
  for (const int64_t n_cols : {1, 8, 15, 16, 17, 64, 288, 2048}) {
    constexpr int64_t kRows = 5;
    Random random(static_cast<uint64_t>(n_cols));
    auto x = random.normals(static_cast<size_t>(kRows * n_cols), 3.0F);
    x[static_cast<size_t>(n_cols)] = kNan;
    const auto weight = random.normals(static_cast<size_t>(n_cols));
    const auto compute = [&](backend::Backend& backend) {
      std::vector<float> y = x;
      backend.rms_norm({y.data(), n_cols, weight.data(), 1e-5F, y.data(), n_cols, kRows, n_cols});
      return y;
    };
    expect_same_rows(ops::OpId::kRmsNorm, compute);

    auto scalar = make_backend("scalar");
    const auto y = compute(*scalar);
    for (int64_t r = 0; r < kRows; ++r) {
      double squares = 0;
      for (int64_t i = 0; i < n_cols; ++i) {
        const double v = x[static_cast<size_t>(r * n_cols + i)];
        squares += v * v;
      }
      const double factor = 1 / std::sqrt(squares / static_cast<double>(n_cols) + 1e-5);
      for (int64_t i = 0; i < n_cols; ++i) {
        const auto at = static_cast<size_t>(r * n_cols + i);
        const double exact = x[at] * factor * weight[static_cast<size_t>(i)];
        if (r == 1) {
          EXPECT_TRUE(std::isnan(y[at]));
        } else {
          EXPECT_NEAR(y[at], exact, 2e-6 * std::abs(exact) + 1e-30);
        }
      }
    }
  }
}

TEST(OpRows, GatedActivation) {
  for (const auto activation : {ops::Activation::kSilu, ops::Activation::kGeluTanh}) {
    for (const int64_t n_cols : {1, 16, 31, 176, 5632}) {
      constexpr int64_t kRows = 7;
      const auto n = static_cast<size_t>(kRows * n_cols);
      const auto gate = mixed_values(n, 1, 8.0F);
      const auto up = mixed_values(n + 64, 2);
      expect_same_rows(ops::OpId::kGatedActivation, [&](backend::Backend& backend) {
        std::vector<float> y = gate;
        backend.gated_activation(
            {activation, y.data(), n_cols, up.data(), n_cols + 3, y.data(), n_cols, kRows, n_cols});
        return y;
      });
    }
  }
}

TEST(OpRows, ElementWise) {
  for (const int64_t n : {1, 15, 16, 33, 100000}) {
    const auto x = mixed_values(static_cast<size_t>(n), 1, 20.0F);
    const auto other = mixed_values(static_cast<size_t>(n), 2);
    expect_same_rows(ops::OpId::kAdd, [&](backend::Backend& backend) {
      std::vector<float> y = other;
      backend.add({x.data(), y.data(), n});
      return y;
    });
    expect_same_rows(ops::OpId::kScale, [&](backend::Backend& backend) {
      std::vector<float> y = x;
      backend.scale({y.data(), 0.37F, n});
      return y;
    });
    expect_same_rows(ops::OpId::kSoftcap, [&](backend::Backend& backend) {
      std::vector<float> y = x;
      backend.softcap({y.data(), 30.0F, n});
      return y;
    });
  }
}

// Rows of a sum are those of sums of one row each.
TEST(OpRows, AddRows) {
  constexpr int64_t kRows = 5;
  for (const int64_t n : {1, 16, 33, 2048}) {
    const int64_t stride = n + 7;
    const auto x = mixed_values(static_cast<size_t>(kRows * n), 1, 20.0F);
    const auto other = mixed_values(static_cast<size_t>(kRows * stride), 2);
    expect_same_rows(ops::OpId::kAdd, [&](backend::Backend& backend) {
      std::vector<float> y = other;
      backend.add({x.data(), y.data(), n, kRows, n, stride});
      std::vector<float> expected = other;
      for (int64_t r = 0; r < kRows; ++r) {
        backend.add({x.data() + r * n, expected.data() + r * stride, n});
      }
      EXPECT_TRUE(same_bits(y, expected)) << n;
      return y;
    });
  }
}

// Two sequences: positions 1000.. and 0...
struct TwoSequences {
  std::vector<int32_t> tokens = std::vector<int32_t>(9, 1);
  std::vector<int32_t> pages = std::vector<int32_t>(100, 0);
  std::vector<ops::SequenceSlice> slices = {{0, 5, 1000, pages}, {5, 4, 0, pages}};
  std::vector<int32_t> outputs = {4, 8};
  ops::StepInputs inputs() const { return {tokens, slices, outputs}; }
};

TEST(OpRows, RopeTable) {
  const TwoSequences step;
  std::vector<float> frequency;
  for (int i = 0; i < 37; ++i) frequency.push_back(std::pow(10000.0F, -static_cast<float>(i) / 37));
  const auto compute = [&](backend::Backend& backend) {
    EXPECT_TRUE(backend.begin_step(step.inputs()).ok());
    std::vector<float> table(2 * 9 * 37);
    backend.rope_table({frequency.data(), 74, 1.25F, table.data(), table.data() + 9 * 37});
    return table;
  };
  expect_same_rows(ops::OpId::kRopeTable, compute);

  auto scalar = make_backend("scalar");
  const auto table = compute(*scalar);
  for (size_t t = 0; t < 9; ++t) {
    const float position = t < 5 ? 1000.0F + static_cast<float>(t) : static_cast<float>(t - 5);
    for (size_t i = 0; i < 37; ++i) {
      const double angle = position * frequency[i];
      EXPECT_NEAR(table[t * 37 + i], 1.25 * std::cos(angle), 2e-7);
      EXPECT_NEAR(table[9 * 37 + t * 37 + i], 1.25 * std::sin(angle), 2e-7);
    }
  }
}

TEST(OpRows, Rope) {
  const TwoSequences step;
  for (const auto pairing : {ops::RopePairing::kNeighbours, ops::RopePairing::kHalves}) {
    for (const int64_t n_rot : {8, 20, 64}) {
      constexpr int64_t kHeads = 3;
      constexpr int64_t kDim = 64;
      constexpr int64_t kStride = kHeads * kDim + 5;
      Random random(1);
      const auto x = random.normals(9 * kStride);
      const auto cosine = random.normals(static_cast<size_t>(9 * n_rot / 2));
      const auto sine = random.normals(static_cast<size_t>(9 * n_rot / 2));
      const auto compute = [&](backend::Backend& backend) {
        EXPECT_TRUE(backend.begin_step(step.inputs()).ok());
        std::vector<float> y = x;
        backend.rope({y.data(), kStride, kHeads, kDim, n_rot, pairing, cosine.data(), sine.data()});
        return y;
      };
      expect_same_rows(ops::OpId::kRope, compute);

      auto scalar = make_backend("scalar");
      const auto y = compute(*scalar);
      const bool halves = pairing == ops::RopePairing::kHalves;
      const auto at = static_cast<size_t>(2 * kStride + kDim);  // token 2, head 1
      for (size_t i = 0; i < static_cast<size_t>(n_rot / 2); ++i) {
        const size_t a = halves ? i : 2 * i;
        const size_t b = halves ? i + static_cast<size_t>(n_rot / 2) : 2 * i + 1;
        const float c = cosine[static_cast<size_t>(n_rot) + i];
        const float s = sine[static_cast<size_t>(n_rot) + i];
        EXPECT_EQ(y[at + a], x[at + a] * c - x[at + b] * s);
        EXPECT_EQ(y[at + b], x[at + b] * c + x[at + a] * s);
      }
      for (size_t i = static_cast<size_t>(n_rot); i < kDim; ++i) EXPECT_EQ(y[at + i], x[at + i]);
    }
  }
}

// Everything that route() writes, as floats.
std::vector<float> routed(backend::Backend& backend, std::vector<float> logits, int64_t n_experts,
                          int64_t n_used, bool normalize) {
  const auto n_rows = static_cast<int64_t>(logits.size()) / n_experts;
  RoutingMemory memory(n_rows, n_experts, n_used);
  backend.route({logits.data(), n_rows, normalize, memory.view()});
  std::vector<float> all = memory.weights;
  for (const auto& part : {memory.experts, memory.places, memory.sources, memory.firsts}) {
    for (const int32_t value : part) all.push_back(static_cast<float>(value));
  }
  return all;
}

TEST(OpRows, Route) {
  for (const auto& [n_experts, n_used] :
       {std::pair(1, 1), {4, 4}, {8, 2}, {15, 3}, {60, 4}, {128, 8}, {1024, 5}}) {
    for (const bool normalize : {false, true}) {
      constexpr int64_t kRows = 37;
      const auto n = static_cast<size_t>(kRows * n_experts);
      expect_same_rows(ops::OpId::kRoute, [&](backend::Backend& backend) {
        return routed(backend, mixed_values(n, 4, 3.0F), n_experts, n_used, normalize);
      });
    }
  }
}

TEST(OpRows, RouteIsASoftmaxOverTheLargest) {
  constexpr int64_t kExperts = 60;
  constexpr int64_t kUsed = 4;
  constexpr int64_t kRows = 20;
  Random random(5);
  const auto logits = random.normals(kRows * kExperts, 2.0F);
  for (const bool normalize : {false, true}) {
    auto backend = make_backend();
    RoutingMemory memory(kRows, kExperts, kUsed);
    auto scratch = logits;
    backend->route({scratch.data(), kRows, normalize, memory.view()});
    for (int64_t r = 0; r < kRows; ++r) {
      const auto row = std::span(logits).subspan(static_cast<size_t>(r * kExperts), kExperts);
      const auto first = static_cast<size_t>(r * kUsed);
      std::vector<float> sorted(row.begin(), row.end());
      std::sort(sorted.rbegin(), sorted.rend());
      double sum = 0;
      for (size_t k = 0; k < static_cast<size_t>(normalize ? kUsed : kExperts); ++k) {
        sum += std::exp(double{sorted[k]} - double{sorted[0]});
      }
      for (size_t k = 0; k < kUsed; ++k) {
        EXPECT_EQ(row[static_cast<size_t>(memory.experts[first + k])], sorted[k]);
        const double exact = std::exp(double{sorted[k]} - double{sorted[0]}) / sum;
        EXPECT_NEAR(memory.weights[first + k], exact, 1e-6 * exact);
      }
    }
  }
}

// Ties go to the lower index; a row without a softmax gets NaN and still valid experts.
TEST(OpRows, RouteOfTiesAndOfWhatIsNoNumber) {
  constexpr int64_t kExperts = 5;
  const std::vector<float> logits = {1,          2,          2,          2,          1,     //
                                     0.0F,       -0.0F,      0.0F,       -1,         0.0F,  //
                                     1,          kNan,       3,          4,          5,     //
                                     1,          2,          kInfinity,  4,          5,     //
                                     -kInfinity, -kInfinity, 7,          -kInfinity, -kInfinity,
                                     -kInfinity, -kInfinity, -kInfinity, -kInfinity, -kInfinity};
  const std::vector<int32_t> experts = {1, 2, 3, 0, 1, 2, 0, 1, 2, 0, 1, 2, 2, 0, 1, 0, 1, 2};
  for (const std::string& cap : isa_caps()) {
    auto backend = make_backend(cap);
    for (const bool normalize : {false, true}) {
      RoutingMemory memory(6, kExperts, 3);
      auto scratch = logits;
      backend->route({scratch.data(), 6, normalize, memory.view()});
      EXPECT_EQ(memory.experts, experts) << cap;
      for (const size_t row : {2, 3, 5}) {
        for (size_t k = 0; k < 3; ++k) EXPECT_TRUE(std::isnan(memory.weights[row * 3 + k])) << row;
      }
      EXPECT_EQ(memory.weights[12], 1.0F);
      EXPECT_EQ(memory.weights[13], 0.0F);
      EXPECT_NEAR(memory.weights[0], normalize ? 1.0 / 3 : 0.26768, 1e-5);
    }
  }
}

TEST(OpRows, PlacesCountThroughExpertsAndRows) {
  constexpr int64_t kRows = 50;
  constexpr int64_t kExperts = 7;
  Random random(6);
  auto logits = random.normals(kRows * kExperts);
  auto backend = make_backend();
  RoutingMemory memory(kRows, kExperts, 3);
  backend->route({logits.data(), kRows, true, memory.view()});
  int32_t place = 0;
  for (int32_t e = 0; e < kExperts; ++e) {
    EXPECT_EQ(memory.firsts[static_cast<size_t>(e)], place);
    for (size_t pair = 0; pair < memory.experts.size(); ++pair) {
      if (memory.experts[pair] != e) continue;
      EXPECT_EQ(memory.places[pair], place);
      EXPECT_EQ(memory.sources[static_cast<size_t>(place)], static_cast<int32_t>(pair / 3));
      ++place;
    }
  }
  EXPECT_EQ(memory.firsts.back(), kRows * 3);
}

TEST(OpRows, ExpertCombine) {
  constexpr int64_t kRows = 9;
  constexpr int64_t kUsed = 3;
  for (const int64_t n_cols : {1, 15, 16, 100, 2048}) {
    Random random(static_cast<uint64_t>(n_cols));
    auto logits = random.normals(kRows * 6);
    RoutingMemory memory(kRows, 6, kUsed);
    make_backend("scalar")->route({logits.data(), kRows, false, memory.view()});
    const auto x = mixed_values(static_cast<size_t>(kRows * kUsed * n_cols), 1);
    const auto shared = random.normals(static_cast<size_t>(kRows * n_cols));
    const auto gate = mixed_values(kRows, 2, 3.0F);
    for (const bool with_shared : {false, true}) {
      const auto compute = [&](backend::Backend& backend) {
        std::vector<float> y(static_cast<size_t>(kRows * n_cols));
        backend.expert_combine({x.data(), memory.view(), with_shared ? shared.data() : nullptr,
                                with_shared ? gate.data() : nullptr, y.data(), kRows, n_cols});
        return y;
      };
      expect_same_rows(ops::OpId::kExpertCombine, compute);

      auto scalar = make_backend("scalar");
      const auto y = compute(*scalar);
      for (size_t i = 0; i < y.size(); ++i) {
        const size_t r = i / static_cast<size_t>(n_cols);
        double exact = 0;
        double size = 0;
        for (size_t k = r * kUsed; k < (r + 1) * kUsed; ++k) {
          const auto at = memory.places[k] * n_cols + static_cast<int64_t>(i) % n_cols;
          const double term = double{memory.weights[k]} * double{x[static_cast<size_t>(at)]};
          exact += term;
          size += std::abs(term);
        }
        if (with_shared) {
          const double term = double{shared[i]} / (1 + std::exp(-double{gate[r]}));
          exact += term;
          size += std::abs(term);
        }
        if (!std::isfinite(exact)) continue;
        EXPECT_NEAR(y[i], exact, 1e-6 * size + 1e-30) << i;
      }
    }
  }
}

TEST(OpRows, GatherDecodesAndScales) {
  for (const formats::FormatInfo* format : weight_formats()) {
    const RandomWeight weight(*format, 50, 256, 1, 1);
    const auto values = weight.decoded();
    auto backend = make_backend("", 2);
    auto table = backend->load_weight(weight.view(), "token_embd");
    ASSERT_TRUE(table.ok());
    const std::vector<int32_t> tokens = {49, 0, 7};
    const std::vector<ops::SequenceSlice> slices = {{0, 3, 0, {}}};
    ASSERT_TRUE(backend->begin_step({tokens, slices, {}}).ok());
    std::vector<float> y(3 * 256);
    backend->gather({table->get(), 1.5F, y.data()});
    for (size_t t = 0; t < 3; ++t) {
      for (size_t i = 0; i < 256; ++i) {
        EXPECT_EQ(y[t * 256 + i], values[static_cast<size_t>(tokens[t]) * 256 + i] * 1.5F);
      }
    }
  }
}

TEST(OpRows, SelectOutputsCopiesRows) {
  const TwoSequences step;
  auto backend = make_backend();
  ASSERT_TRUE(backend->begin_step(step.inputs()).ok());
  Random random(1);
  const auto x = random.normals(9 * 10);
  std::vector<float> y(20);
  backend->select_outputs(x.data(), 10, y.data());
  EXPECT_TRUE(same_bits(std::span(y).first(10), std::span(x).subspan(40, 10)));
  EXPECT_TRUE(same_bits(std::span(y).last(10), std::span(x).subspan(80, 10)));
}

// Instruction sets that a cap leaves.
hardware::IsaMask mask_of(std::string_view cap) {
  hardware::IsaMask mask;
  for (int i = 0; cap != "scalar" && i < static_cast<int>(hardware::Isa::kCount); ++i) {
    mask = mask | hardware::IsaMask(static_cast<hardware::Isa>(i));
    if (hardware::isa_name(static_cast<hardware::Isa>(i)) == cap) break;
  }
  return mask;
}

constexpr int64_t kQuantizedRows = 3;

// Rows of x in both forms, quantized by the kernels that a cap leaves.
cpu::ActivationStore quantized(std::string_view cap, std::span<const float> x, int64_t n_in) {
  const cpu::ActivationForms forms = {false, n_in % 32 == 0, n_in % cpu::kSuperValues == 0};
  cpu::ActivationStore store;
  CHECK(store.reserve(forms, kQuantizedRows, n_in).ok());
  const cpu::QuantizeTask task = store.task(forms, x.data(), n_in, 0, n_in);
  cpu::best_quantize(mask_of(cap))(task, 0, kQuantizedRows);
  return store;
}

std::vector<std::string> runnable_caps() {
  std::vector<std::string> caps;
  for (const std::string& cap : isa_caps()) {
    if (this_machine().cpu.isa.contains(mask_of(cap))) caps.push_back(cap);
  }
  return caps;
}

// The kernels' quantization is that of formats/block_q8a.h.
TEST(OpRows, QuantizationFollowsTheDefinition) {
  constexpr int64_t kIn = 320;
  const auto x = mixed_values(kIn * kQuantizedRows, 5, 4.0F);
  for (const std::string& cap : runnable_caps()) {
    const cpu::ActivationStore store = quantized(cap, x, kIn);
    for (int64_t r = 0; r < kQuantizedRows; ++r) {
      const cpu::QuantizedRows row = cpu::from_row(store.rows(), r);
      int8_t expected_q[kIn];
      float expected_d[10];
      int16_t sums[20];
      formats::quantize_activations(x.data() + r * kIn, kIn, 32, {expected_q, expected_d, sums});
      EXPECT_EQ(std::memcmp(expected_q, row.q, kIn), 0) << cap;
      EXPECT_TRUE(same_bits({expected_d, 10}, {row.d, 10})) << cap;
      for (size_t h = 0; h < 20; ++h) {
        EXPECT_EQ(row.neg_sum16[h], -sums[h]) << cap;
        const float product = static_cast<float>(sums[h]) * expected_d[h / 2];
        EXPECT_TRUE(same_bits({&product, 1}, {&row.sum_d16[h], 1})) << cap;
      }
      for (size_t b = 0; b < 10; ++b) {
        const int sum = sums[2 * b] + sums[2 * b + 1];
        EXPECT_EQ(row.neg_sum32[b], -sum) << cap;
        const float product = static_cast<float>(sum) * expected_d[b];
        EXPECT_TRUE(same_bits({&product, 1}, {&row.sum_d32[b], 1})) << cap;
      }
    }
  }
}

// An f32 whose upper 16 bits are these.
float bf16_value(uint32_t bits) { return std::bit_cast<float>(bits << 16); }

TEST(OpRows, QuantizationInSuperBlocksFollowsTheDefinition) {
  constexpr int64_t kIn = 768;
  auto x = mixed_values(kIn * kQuantizedRows, 6, 4.0F);
  // Sums as large as they get, of both signs.
  std::fill_n(x.begin() + kIn, 16, 1e30F);
  std::fill_n(x.begin() + kIn + 16, 16, -1e30F);
  for (const std::string& cap : runnable_caps()) {
    const cpu::ActivationStore store = quantized(cap, x, kIn);
    const cpu::SuperRows& rows = store.super_rows();
    for (int64_t r = 0; r < kQuantizedRows; ++r) {
      int8_t expected_q[kIn];
      float expected_d[3];
      int16_t sums[48];
      formats::quantize_activations(x.data() + r * kIn, kIn, 256, {expected_q, expected_d, sums});
      for (int64_t b = 0; b < 3; ++b) {
        const cpu::SuperRows block = cpu::from_row(rows, b * rows.block_rows + r);
        EXPECT_EQ(std::memcmp(expected_q + 256 * b, block.q, 256), 0) << cap;
        EXPECT_TRUE(same_bits({expected_d + b, 1}, {block.d, 1})) << cap;
        for (int64_t h = 0; h < 16; ++h) {
          EXPECT_EQ(block.sums[h], sums[16 * b + h]) << cap;
          const float low = bf16_value(block.sum_parts[h] & 0xFFFF);
          const float high = bf16_value(block.sum_parts[h] >> 16);
          EXPECT_EQ(low + high, static_cast<float>(sums[16 * b + h])) << cap;
          EXPECT_EQ(std::fmod(high, 16.0F), 0.0F) << cap;
          EXPECT_LE(std::fabs(low), 8.0F) << cap;
        }
      }
    }
  }
}

}  // namespace
}  // namespace quern::cpu_tests
