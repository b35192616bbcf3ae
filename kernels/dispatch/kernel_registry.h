// The rows of a backend in one place, looked up by name.
//
// Leaves choosing to plan.h. Invariant: names are unique, and every op of ops/op_list.inc that has
// a row has one that needs nothing and takes any format.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "config/base/result.h"
#include "kernels/dispatch/kernel_row.h"

namespace quern::dispatch {

// "rms_norm" and back.
std::string_view op_name(ops::OpId op);
std::optional<ops::OpId> find_op(std::string_view name);

class KernelRegistry {
 public:
  // `rows` is borrowed. Error: two rows of one name, or an op without a row for every machine.
  static Result<KernelRegistry> create(std::span<const KernelRow> rows);

  std::span<const KernelRow> rows() const { return rows_; }
  // Null when there is none.
  const KernelRow* find(std::string_view name) const;

 private:
  explicit KernelRegistry(std::span<const KernelRow> rows) : rows_(rows) {}

  std::span<const KernelRow> rows_;
};

}  // namespace quern::dispatch
