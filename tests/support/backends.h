// Every backend that a model test should run on: the plain one, then the CPU backend once for each
// instruction set of this machine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend/backend.h"

namespace quern::tests_support {

struct NamedBackend {
  std::string name;
  std::unique_ptr<backend::Backend> backend;
  // All reproducible backends must give the same bits.
  bool reproducible = false;
};

std::vector<NamedBackend> test_backends();

}  // namespace quern::tests_support
