// Host memory of the CPU backend: zero-filled, 64-byte aligned, released with its owner.
#pragma once

#include <memory>
#include <string_view>

#include "config/base/result.h"
#include "kernels/backend/backend.h"

namespace quern::cpu {

// `what` names the memory in the error. Large buffers come straight from the kernel, so that pages
// nobody touches cost nothing.
Result<std::unique_ptr<backend::Buffer>> allocate_host(size_t bytes, std::string_view what);

}  // namespace quern::cpu
