// Chooses a kernel row for an op (and format and shape) and says why.
//
// Order of preference: a row forced by name, a row that the profile measured to be best, else the
// lowest rank among those whose needs the machine meets and whose shape limit the weight meets.
// Leaves out what a row does; all rows of one (op, format) give the same bits.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "config/hardware/profile.h"
#include "kernels/dispatch/kernel_registry.h"
#include "kernels/dispatch/kernel_row.h"

namespace quern::dispatch {

// How many rows of activations a matrix product has: one, or several. The best row may differ.
enum class ShapeClass : uint8_t { kDecode, kBatch };
// Key of HardwareProfile::tuned, "matmul/Q4_K/decode".
std::string tuned_key(ops::OpId op, std::string_view format_name, ShapeClass shape);

// What a row is wanted for.
struct RowRequest {
  ops::OpId op;
  const formats::FormatInfo* format = nullptr;  // null for ops without a weight
  int64_t n_in = 0;                             // columns of the weight
  ShapeClass shape = ShapeClass::kBatch;
};

struct RowChoice {
  const KernelRow* row;
  std::string why;  // "forced by name; not matmul.x: needs amxint8"
};

class Planner {
 public:
  // `isa_cap` limits what the profile found: "" for no limit, "scalar", or a name of isa_list.inc,
  // which stands for everything up to its line. Each entry of `forced` is "op=row name"; it holds
  // for the formats that the row takes. Errors: unknown op, row or cap; a row of another op; a row
  // that needs what the (capped) machine does not have.
  static Result<Planner> create(KernelRegistry registry, const hardware::HardwareProfile& profile,
                                std::string_view isa_cap, std::span<const std::string> forced);

  // Error: a forced row takes the format but its shape limit is not met.
  Result<RowChoice> choose(const RowRequest& request) const;

  hardware::IsaMask isa() const { return isa_; }

 private:
  explicit Planner(KernelRegistry registry) : registry_(registry) {}

  const KernelRow* tuned_row(const RowRequest& request) const;
  std::string rejections(const RowRequest& request, const KernelRow& chosen) const;

  KernelRegistry registry_;
  hardware::IsaMask isa_;
  std::vector<const KernelRow*> forced_;
  std::map<std::string, std::string> tuned_;
};

}  // namespace quern::dispatch
