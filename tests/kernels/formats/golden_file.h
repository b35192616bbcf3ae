// Reads the records that tests/golden/formats/make_goldens.py writes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace quern::formats {

struct GoldenRecord {
  std::string name;
  uint32_t n_blocks = 0;
  uint32_t block_bytes = 0;
  uint32_t block_values = 0;
  std::vector<std::byte> blocks;
  std::vector<float> values;
};

// The frozen goldens, or a bigger set in the directory that QUERN_FORMATS_GOLDEN names.
inline std::filesystem::path golden_dir() {
  const char* other = std::getenv("QUERN_FORMATS_GOLDEN");
  if (other != nullptr) return other;
  return std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/formats";
}

// Empty if the file is missing or cut short.
inline std::vector<GoldenRecord> read_golden(const std::string& file) {
  std::ifstream in(golden_dir() / file, std::ios::binary);
  std::vector<GoldenRecord> records;
  char head[28];
  while (in.read(head, sizeof(head))) {
    GoldenRecord r;
    r.name = std::string(head, strnlen(head, 16));
    std::memcpy(&r.n_blocks, head + 16, 4);
    std::memcpy(&r.block_bytes, head + 20, 4);
    std::memcpy(&r.block_values, head + 24, 4);
    r.blocks.resize(size_t{r.n_blocks} * r.block_bytes);
    r.values.resize(size_t{r.n_blocks} * r.block_values);
    in.read(reinterpret_cast<char*>(r.blocks.data()),
            static_cast<std::streamsize>(r.blocks.size()));
    in.read(reinterpret_cast<char*>(r.values.data()),
            static_cast<std::streamsize>(r.values.size() * sizeof(float)));
    if (!in) return {};
    records.push_back(std::move(r));
  }
  return records;
}

}  // namespace quern::formats
