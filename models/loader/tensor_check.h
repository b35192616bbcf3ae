// Compares the tensors of a file with its architecture's table: all there, right shapes, storable.
//
// Reads no tensor data. After check_tensors() the loader may use every tensor it names without
// looking at shapes again.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "models/arch/arch_spec.h"
#include "models/gguf/reader.h"

namespace quern::loader {

// The file's tensors by role. Pointers live as long as the file.
class TensorTable {
 public:
  // Null where the file has none (optional and tied roles, roles of other architectures). `layer`
  // is ignored for tensors of the whole model.
  const gguf::TensorInfo* find(arch::TensorRole role, int64_t layer = 0) const {
    const auto& list = by_role_[static_cast<size_t>(role)];
    if (list.empty()) return nullptr;
    return list.size() == 1 ? list[0] : list[static_cast<size_t>(layer)];
  }
  void set(arch::TensorRole role, std::vector<const gguf::TensorInfo*> tensors) {
    by_role_[static_cast<size_t>(role)] = std::move(tensors);
  }

  // Names of tensors that no role claims, in file order: ignored, but worth a line to the user.
  std::vector<std::string> unused;

 private:
  std::array<std::vector<const gguf::TensorInfo*>, arch::kRoleCount> by_role_;
};

// Errors name the tensor, what was found and what was expected: missing, wrong shape, a format that
// its role cannot use, weights of experts in a model that says it has none.
Result<TensorTable> check_tensors(const arch::ArchSpec& spec, const arch::HyperParams& hyper,
                                  const gguf::GgufFile& file);

}  // namespace quern::loader
