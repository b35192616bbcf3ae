// Compares the tensors of a file with its architecture's table: all there, right shapes, storable.
//
// Reads no tensor data. After check_tensors() the loader may use every tensor it names without
// looking at shapes again.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "models/arch/arch_spec.h"
#include "models/gguf/reader.h"

namespace quern::loader {

// The file's tensors by role. Pointers live as long as the file.
class TensorTable {
 public:
  // Null where the file has none (optional and tied roles, roles of other architectures or of
  // models with or without experts). `layer` is ignored for tensors of the whole model.
  const gguf::TensorInfo* find(arch::TensorRole role, int64_t layer = 0) const {
    const auto all = parts(role, layer);
    return all.empty() ? nullptr : all[0];
  }
  // All tensors of a role in a layer: several where the file has one for each expert.
  std::span<const gguf::TensorInfo* const> parts(arch::TensorRole role, int64_t layer = 0) const {
    const Entry& entry = by_role_[static_cast<size_t>(role)];
    const auto first = entry.per_layer ? static_cast<size_t>(layer) * entry.n_parts : 0;
    return std::span(entry.tensors).subspan(first, entry.tensors.empty() ? 0 : entry.n_parts);
  }

  struct Entry {
    std::vector<const gguf::TensorInfo*> tensors;  // layer after layer
    size_t n_parts = 1;                            // of a layer
    bool per_layer = false;
  };
  void set(arch::TensorRole role, Entry entry) {
    by_role_[static_cast<size_t>(role)] = std::move(entry);
  }

  // Names of tensors that no role claims, in file order: ignored, but worth a line to the user.
  std::vector<std::string> unused;

 private:
  std::array<Entry, arch::kRoleCount> by_role_;
};

// Errors name the tensor, what was found and what was expected: missing, wrong shape, a format that
// its role cannot use, tensors of experts that the model has no place for.
Result<TensorTable> check_tensors(const arch::ArchSpec& spec, const arch::HyperParams& hyper,
                                  const gguf::GgufFile& file);

}  // namespace quern::loader
