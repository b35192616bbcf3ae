// Reads and checks the header of one safetensors file. Internal to models/safetensors; callers use
// checkpoint.h.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "config/base/result.h"
#include "models/safetensors/checkpoint.h"

namespace quern::safetensors {

struct Header {
  std::vector<Tensor> tensors;  // by place in the file
  std::vector<std::pair<std::string, std::string>> metadata;
};

// `bytes` is the whole file. Errors do not name it.
Result<Header> read_header(std::span<const std::byte> bytes);

}  // namespace quern::safetensors
