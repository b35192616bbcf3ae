// Matrix products grouped by expert: for every format and every matmul row, the bits that matmul
// gives for each row of the step and each of its experts alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "kernels/cpu/cpu_rows.h"
#include "tests/kernels/cpu/kernel_fixture.h"

namespace quern::cpu_tests {
namespace {

constexpr int64_t kExperts = 6;
constexpr int64_t kUsed = 3;
constexpr int64_t kOut = 21;  // a panel and a part of one

// All experts' matrices one below the other, and each by itself.
struct Experts {
  Experts(const formats::FormatInfo& format, int64_t n_in, uint64_t seed)
      : stack(format, kExperts * kOut, n_in, seed, 1) {}

  tensor::TensorView one(int64_t expert) const {
    tensor::TensorView view = stack.view();
    view.data += expert * kOut * view.row_bytes;
    view.n_rows = kOut;
    return view;
  }

  RandomWeight stack;
};

std::unique_ptr<const dispatch::Weight> load(backend::Backend& backend,
                                             const tensor::TensorView& view) {
  auto loaded = backend.load_weight(view, "w");
  CHECK(loaded.ok());
  return std::move(loaded).value();
}

struct Case {
  int64_t n_rows;
  bool x_by_place;
  bool split;
  // Adds to the logit of expert 0, so that all rows go to it.
  float favour = 0;
};

RoutingMemory route_rows(backend::Backend& backend, const Case& test) {
  Random random(static_cast<uint64_t>(test.n_rows));
  auto logits = random.normals(static_cast<size_t>(test.n_rows * kExperts));
  for (size_t i = 0; i < logits.size(); i += kExperts) logits[i] += test.favour;
  RoutingMemory memory(test.n_rows, kExperts, kUsed);
  backend.route({logits.data(), test.n_rows, true, memory.view()});
  return memory;
}

// Two outputs that share x; [n_places, 2 * kOut], gaps between the rows of x.
std::vector<float> multiply_by_experts(backend::Backend& backend, const Experts& first,
                                       const Experts& second, const std::vector<float>& x,
                                       int64_t x_stride, const Case& test, RoutingMemory& routing) {
  std::vector<float> y(static_cast<size_t>(test.n_rows * kUsed * 2 * kOut) + 1, 77.0F);
  std::vector<std::unique_ptr<const dispatch::Weight>> owned;
  std::vector<const dispatch::Weight*> weights[2];
  const Experts* matrices[2] = {&first, &second};
  for (size_t i = 0; i < 2; ++i) {
    for (int64_t e = 0; e < (test.split ? kExperts : 1); ++e) {
      const auto view = test.split ? matrices[i]->one(e) : matrices[i]->stack.view();
      owned.push_back(load(backend, view));
      weights[i].push_back(owned.back().get());
    }
  }
  const ops::ExpertOutput outputs[2] = {{weights[0], kOut, y.data(), 2 * kOut},
                                        {weights[1], kOut, y.data() + kOut, 2 * kOut}};
  backend.expert_matmul(
      {x.data(), x_stride, test.x_by_place, test.n_rows, routing.view(), outputs});
  CHECK(backend.finish_step().ok());
  CHECK(y.back() == 77.0F);
  y.pop_back();
  return y;
}

void expect_bits_of_matmul(backend::Backend& backend, backend::Backend& reference,
                           const formats::FormatInfo& format, const formats::FormatInfo& other,
                           const Case& test, const std::string& what) {
  const int64_t n_in = format.quantized() || other.quantized() ? 512 : 47;
  const int64_t x_stride = n_in + 3;
  const Experts first(format, n_in, 11);
  const Experts second(other, n_in, 12);
  Random random(13);
  const int64_t n_inputs = test.x_by_place ? test.n_rows * kUsed : test.n_rows;
  const auto x = random.normals(static_cast<size_t>(n_inputs * x_stride));
  RoutingMemory routing = route_rows(reference, test);
  const auto y = multiply_by_experts(backend, first, second, x, x_stride, test, routing);
  for (int64_t e = 0; e < kExperts; ++e) {
    const auto begin = routing.firsts[static_cast<size_t>(e)];
    const auto end = routing.firsts[static_cast<size_t>(e) + 1];
    const auto one = load(reference, first.one(e));
    const auto two = load(reference, second.one(e));
    for (int64_t place = begin; place < end; ++place) {
      const auto source = routing.sources[static_cast<size_t>(place)];
      const auto input = static_cast<size_t>((test.x_by_place ? place : source) * x_stride);
      const auto row = std::span(x).subspan(input, static_cast<size_t>(n_in));
      auto expected = multiply(reference, *one, row, 1);
      const auto rest = multiply(reference, *two, row, 1);
      expected.insert(expected.end(), rest.begin(), rest.end());
      EXPECT_TRUE(same_bits(std::span(y).subspan(static_cast<size_t>(place * 2 * kOut), 2 * kOut),
                            expected))
          << what << " expert " << e << " place " << place << " of " << test.n_rows << " rows";
    }
  }
}

constexpr Case kCases[] = {{1, false, false}, {1, true, true},          {2, false, true},
                           {7, false, false}, {7, true, false},         {33, false, false},
                           {33, true, true},  {20, false, false, 50.0F}};

TEST(ExpertMatmul, EveryRowGivesTheBitsOfTheOracle) {
  auto oracle = make_backend("scalar");
  for (const dispatch::KernelRow& row : cpu::cpu_rows()) {
    if (row.op != ops::OpId::kMatmul || !this_machine().cpu.isa.contains(row.needs)) continue;
    auto forced = make_backend("", 2, {"matmul=" + std::string(row.name)});
    const auto& format = formats::format_info(row.format.value_or(formats::FormatId::kQ5_K));
    for (const Case& test : {kCases[0], kCases[3], kCases[6]}) {
      expect_bits_of_matmul(*forced, *oracle, format, format, test, std::string(row.name));
    }
  }
}

TEST(ExpertMatmul, EveryFormatWithAnyNumberOfThreads) {
  auto reference = make_backend();
  const auto& other = formats::format_info(formats::FormatId::kF16);
  for (const formats::FormatInfo* format : weight_formats()) {
    for (const int threads : {1, 2, 3}) {
      auto backend = make_backend("", threads);
      for (const Case& test : kCases) {
        expect_bits_of_matmul(*backend, *reference, *format, other, test,
                              std::string(format->name) + " threads " + std::to_string(threads));
      }
    }
  }
}

}  // namespace
}  // namespace quern::cpu_tests
