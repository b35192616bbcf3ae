// Sizes tensors and places them inside the data part of a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "config/base/result.h"
#include "models/gguf/reader.h"

namespace quern::gguf {

// Bytes of a tensor from its format and dims, all products checked. Errors name the tensor.
Result<uint64_t> tensor_bytes(const TensorInfo& tensor);

// Sets data of each tensor. `offsets` count from `data_start` in `bytes`. Refuses offsets that are
// not multiples of `alignment`, tensors past the end and tensors that overlap; gaps and any order
// are allowed, and so are bytes behind the last tensor.
Status place_tensors(std::span<TensorInfo> tensors, std::span<const uint64_t> offsets,
                     std::span<const std::byte> bytes, uint64_t data_start, uint64_t alignment);

}  // namespace quern::gguf
