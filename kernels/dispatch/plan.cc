#include "kernels/dispatch/plan.h"

#include <optional>

namespace quern::dispatch {
namespace {

using hardware::Isa;
using hardware::IsaMask;

Error invalid(std::string message) { return Error(ErrorKind::kInvalidInput, std::move(message)); }

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

// The instruction sets up to the line of `cap` in isa_list.inc.
std::optional<IsaMask> isa_up_to(std::string_view cap) {
  IsaMask mask;
  if (cap == "scalar") return mask;
  for (int i = 0; i < static_cast<int>(Isa::kCount); ++i) {
    mask = mask | IsaMask(static_cast<Isa>(i));
    if (hardware::isa_name(static_cast<Isa>(i)) == cap) return mask;
  }
  return std::nullopt;
}

IsaMask common(IsaMask a, IsaMask b) { return a.missing(b).missing(b); }

Result<const KernelRow*> parse_forced(const KernelRegistry& registry, std::string_view text,
                                      IsaMask isa) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return invalid("--kernel " + quoted(text) + " must read op=row, for example " +
                   "matmul=matmul.avx2.generic.");
  }
  const auto op = find_op(text.substr(0, equals));
  if (!op) {
    return invalid("--kernel " + quoted(text) + " names no known operation before '='; " +
                   "'quern hardware show' lists the rows.");
  }
  const KernelRow* row = registry.find(text.substr(equals + 1));
  if (row == nullptr || row->op != *op) {
    return invalid("--kernel " + quoted(text) + ": there is no such row for " +
                   quoted(op_name(*op)) + "; 'quern hardware show' lists the rows.");
  }
  if (!isa.contains(row->needs)) {
    return invalid("--kernel " + quoted(text) + " needs " + isa.missing(row->needs).to_string() +
                   ", which this machine (or the instruction-set limit) does not offer; choose " +
                   "another row.");
  }
  return row;
}

bool takes(const KernelRow& row, const RowRequest& request) {
  return row.op == request.op &&
         (!row.format || (request.format != nullptr && *row.format == request.format->id));
}

bool shape_fits(const KernelRow& row, const RowRequest& request) {
  return request.n_in % row.n_in_multiple == 0;
}

}  // namespace

std::string tuned_key(ops::OpId op, std::string_view format_name, ShapeClass shape) {
  return std::string(op_name(op)) + "/" + std::string(format_name) +
         (shape == ShapeClass::kDecode ? "/decode" : "/batch");
}

Result<Planner> Planner::create(KernelRegistry registry, const hardware::HardwareProfile& profile,
                                std::string_view isa_cap, std::span<const std::string> forced) {
  Planner planner(registry);
  planner.isa_ = profile.cpu.isa;
  if (!isa_cap.empty()) {
    const auto limit = isa_up_to(isa_cap);
    if (!limit) {
      return invalid("Instruction-set limit " + quoted(isa_cap) +
                     " is unknown; use 'scalar' or a name that 'quern hardware show' prints.");
    }
    planner.isa_ = common(planner.isa_, *limit);
  }
  for (const std::string& text : forced) {
    QUERN_ASSIGN_OR_RETURN(const KernelRow* row, parse_forced(registry, text, planner.isa_));
    planner.forced_.push_back(row);
  }
  planner.tuned_ = profile.tuned;
  return planner;
}

const KernelRow* Planner::tuned_row(const RowRequest& request) const {
  if (request.format == nullptr) return nullptr;
  const auto found = tuned_.find(tuned_key(request.op, request.format->name, request.shape));
  if (found == tuned_.end()) return nullptr;
  const KernelRow* row = registry_.find(found->second);
  const bool usable = row != nullptr && takes(*row, request) && shape_fits(*row, request) &&
                      isa_.contains(row->needs);
  return usable ? row : nullptr;
}

std::string Planner::rejections(const RowRequest& request, const KernelRow& chosen) const {
  std::string text;
  for (const KernelRow& row : registry_.rows()) {
    if (row.rank >= chosen.rank || !takes(row, request)) continue;
    text += "; not " + std::string(row.name) + ": ";
    if (!isa_.contains(row.needs)) {
      text += "needs " + isa_.missing(row.needs).to_string();
    } else if (!shape_fits(row, request)) {
      text += "needs columns divisible by " + std::to_string(row.n_in_multiple);
    } else {
      text += "set aside";
    }
  }
  return text;
}

Result<RowChoice> Planner::choose(const RowRequest& request) const {
  for (const KernelRow* row : forced_) {
    if (!takes(*row, request)) continue;
    if (!shape_fits(*row, request)) {
      return invalid("Forced kernel row " + quoted(row->name) + " takes rows whose length is a " +
                     "multiple of " + std::to_string(row->n_in_multiple) + ", not " +
                     std::to_string(request.n_in) + "; choose another row.");
    }
    return RowChoice{row, "forced by name" + rejections(request, *row)};
  }
  if (const KernelRow* row = tuned_row(request); row != nullptr) {
    return RowChoice{row, "measured best" + rejections(request, *row)};
  }
  const KernelRow* best = nullptr;
  for (const KernelRow& row : registry_.rows()) {
    if (!takes(row, request) || !isa_.contains(row.needs) || !shape_fits(row, request)) continue;
    if (best == nullptr || row.rank < best->rank) best = &row;
  }
  if (best == nullptr) {
    return Error(ErrorKind::kUnsupported, "No kernel row computes " + quoted(op_name(request.op)) +
                                              " here; this build is incomplete.");
  }
  return RowChoice{best, "best rank" + rejections(request, *best)};
}

}  // namespace quern::dispatch
