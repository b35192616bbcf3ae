// A backend of plain loops with sums in double: shares nothing with the kernels but the contracts,
// so that a test can tell a wrong decoder loop from a wrong kernel. Slow; for tiny models only.
#pragma once

#include <memory>

#include "kernels/backend/backend.h"

namespace quern::tests_support {

std::unique_ptr<backend::Backend> create_plain_backend();

}  // namespace quern::tests_support
