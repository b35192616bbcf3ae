// What the CPU kernel tests share: seeded data, random weights of every format in buffers that end
// where the weight ends, backends limited to an instruction set, and bit comparison.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/hardware/profile.h"
#include "kernels/backend/backend.h"
#include "kernels/formats/format.h"

namespace quern::cpu_tests {

// SplitMix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  // In [-1, 1).
  float unit();
  // Roughly normal, standard deviation 1.
  float normal();
  std::vector<float> normals(size_t n, float scale = 1.0F);

 private:
  uint64_t state_;
};

// A weight of random blocks with sane scales. The bytes start `offset` past an allocation and end
// exactly at its end, so that the address sanitizer sees any over-read.
class RandomWeight {
 public:
  RandomWeight(const formats::FormatInfo& format, int64_t n_rows, int64_t n_cols, uint64_t seed,
               size_t offset = 0);
  const tensor::TensorView& view() const { return view_; }
  // Row-major f32 values.
  std::vector<float> decoded() const;

 private:
  std::unique_ptr<std::byte[]> bytes_;
  tensor::TensorView view_;
};

const hardware::HardwareProfile& this_machine();
// "scalar" and each instruction set of isa_list.inc that the machine has.
std::vector<std::string> isa_caps();

std::unique_ptr<backend::Backend> make_backend(std::string_view isa_cap = "", int threads = 1,
                                               std::vector<std::string> forced = {});

// Whether the bits are equal; any NaN equals any NaN.
bool same_bits(std::span<const float> a, std::span<const float> b);

// Formats that hold weights.
std::vector<const formats::FormatInfo*> weight_formats();

// Memory for the routing of n_rows rows.
struct RoutingMemory {
  RoutingMemory(int64_t n_rows, int64_t n_experts, int64_t n_used);
  ops::ExpertRouting view();

  int64_t n_experts;
  int64_t n_used;
  std::vector<int32_t> experts, places, sources, firsts;
  std::vector<float> weights;
};

// y[n_rows, n_out] = x * weight^T through backend.matmul.
std::vector<float> multiply(backend::Backend& backend, const dispatch::Weight& weight,
                            std::span<const float> x, int64_t n_rows,
                            std::span<const float> bias = {});

}  // namespace quern::cpu_tests
