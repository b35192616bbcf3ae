#include "kernels/dispatch/kernel_registry.h"

#include <array>
#include <string>

namespace quern::dispatch {
namespace {

constexpr std::array kOpNames = {
#define QUERN_OP(id, name) std::string_view(name),
#include "kernels/ops/op_list.inc"
#undef QUERN_OP
};

bool runs_anywhere(const KernelRow& row) {
  return row.needs.empty() && !row.format.has_value() && row.n_in_multiple == 1;
}

}  // namespace

std::string_view op_name(ops::OpId op) {
  const auto index = static_cast<size_t>(op);
  CHECK(index < kOpNames.size());
  return kOpNames[index];
}

std::optional<ops::OpId> find_op(std::string_view name) {
  for (size_t i = 0; i < kOpNames.size(); ++i) {
    if (kOpNames[i] == name) return static_cast<ops::OpId>(i);
  }
  return std::nullopt;
}

Result<KernelRegistry> KernelRegistry::create(std::span<const KernelRow> rows) {
  std::array<bool, kOpNames.size()> seen{};
  std::array<bool, kOpNames.size()> covered{};
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (rows[i].name == rows[j].name) {
        return Error(ErrorKind::kInternal, "kernel rows: the name '" + std::string(rows[i].name) +
                                               "' is used twice; rename one row.");
      }
    }
    seen[static_cast<size_t>(rows[i].op)] = true;
    if (runs_anywhere(rows[i])) covered[static_cast<size_t>(rows[i].op)] = true;
  }
  for (size_t op = 0; op < seen.size(); ++op) {
    if (seen[op] && !covered[op]) {
      return Error(ErrorKind::kInternal,
                   "kernel rows: '" + std::string(kOpNames[op]) +
                       "' has no row that runs on every processor; add its scalar row.");
    }
  }
  return KernelRegistry(rows);
}

const KernelRow* KernelRegistry::find(std::string_view name) const {
  for (const KernelRow& row : rows_) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace quern::dispatch
