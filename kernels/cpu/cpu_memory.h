// Host memory of the CPU backend: zero-filled, 64-byte aligned, released with its owner.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "config/base/result.h"
#include "kernels/backend/backend.h"

namespace quern::cpu {

// `what` names the memory in the error. Large buffers come straight from the kernel, so that pages
// nobody touches cost nothing.
Result<std::unique_ptr<backend::Buffer>> allocate_host(size_t bytes, std::string_view what);

// The same for memory of several threads: no page holds anything else, and each comes to the memory
// node of the thread that writes to it first.
inline constexpr size_t kThreadPage = 4096;
Result<std::unique_ptr<backend::Buffer>> allocate_thread_pages(size_t bytes, std::string_view what);

// Has pages of a large buffer that nobody has touched yet come from these memory nodes in turn, so
// that all of them serve it. Best effort.
void spread_over_nodes(backend::Buffer& buffer, std::span<const int> nodes);

}  // namespace quern::cpu
