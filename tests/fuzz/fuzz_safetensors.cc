// libFuzzer target: any bytes given to the safetensors reader are refused or can be read in full,
// and their tensors cover the data exactly.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "models/safetensors/checkpoint.h"
#include "tests/fuzz/require.h"

using quern::fuzz::require;
using quern::safetensors::Checkpoint;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  const auto file = Checkpoint::from_bytes({begin, size}, "fuzz.safetensors");
  if (!file.ok()) {
    require(!file.error().message().empty(), "an error has a message");
    return 0;
  }
  size_t covered = 0;
  float sum = 0;
  for (const auto& tensor : (*file)->tensors()) {
    require(tensor.data.empty() || (tensor.data.data() > begin &&
                                    tensor.data.data() + tensor.data.size() <= begin + size),
            "data lies in the file");
    require((*file)->find(tensor.name) == &tensor, "a tensor is found by its name");
    covered += tensor.data.size();
    if (quern::safetensors::is_float(tensor.dtype)) {
      std::vector<float> values(tensor.n_values());
      quern::safetensors::decode_floats(tensor.dtype, tensor.data.data(), values.data(),
                                        values.size());
      for (const float value : values) sum += value;
    }
  }
  require(covered < size, "tensors do not overlap");
  volatile float sink = sum;
  static_cast<void>(sink);
  return 0;
}
