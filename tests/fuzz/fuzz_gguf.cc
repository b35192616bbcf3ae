// libFuzzer target: any bytes given to the GGUF reader are refused or can be read in full and
// written back.
//
// Aborts are findings: a CHECK that input can reach is a bug.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "models/gguf/reader.h"
#include "models/gguf/writer.h"

namespace {

using quern::gguf::GgufFile;

// Inputs are small, so a large tensor can only come from an arithmetic mistake.
void read_everything(const GgufFile& file, const uint8_t* data, size_t size) {
  unsigned sum = 0;
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  for (const auto& tensor : file.tensors()) {
    if (tensor.data.empty() || tensor.data.data() < begin ||
        tensor.data.data() + tensor.data.size() > begin + size) {
      std::abort();
    }
    for (const std::byte b : tensor.data) sum += static_cast<unsigned>(b);
    if (file.find_tensor(tensor.name) != &tensor) std::abort();
  }
  for (const auto& [key, value] : file.metadata().entries()) {
    if (file.metadata().find(key) != &value) std::abort();
  }
  volatile unsigned sink = sum;
  static_cast<void>(sink);
}

// What was accepted can be written, and reads back with the same header.
void write_back(const GgufFile& file) {
  quern::gguf::GgufWriter writer;
  if (!writer.copy_header(file).ok()) std::abort();
  std::vector<std::byte> bytes;
  const auto output = writer.create_in(bytes);
  if (!output.ok()) std::abort();
  for (const auto& tensor : file.tensors()) {
    if (!(*output)->write_tensor(tensor.data).ok()) std::abort();
  }
  if (!(*output)->finish().ok()) std::abort();
  const auto again = GgufFile::from_bytes(bytes, "again");
  if (!again.ok() || (*again)->tensors().size() != file.tensors().size() ||
      (*again)->metadata().entries().size() != file.metadata().entries().size()) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file =
      GgufFile::from_bytes({reinterpret_cast<const std::byte*>(data), size}, "fuzz.gguf");
  if (!file.ok()) {
    if (file.error().message().empty()) std::abort();
    return 0;
  }
  read_everything(**file, data, size);
  write_back(**file);
  return 0;
}
