#include "tests/support/backends.h"

#include "tests/support/plain_backend.h"

namespace quern::tests_support {

std::vector<NamedBackend> test_backends() {
  std::vector<NamedBackend> out;
  out.push_back({.name = "plain", .backend = create_plain_backend()});
  return out;
}

}  // namespace quern::tests_support
