// Importance matrices in the making: sums over what has been read so far, which a file keeps so
// that work can go on later. The layout is told in importance.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "config/base/result.h"

namespace quern::convert {

struct ImportanceSums {
  // Of one tensor; a stack of experts has several matrices.
  struct Entry {
    std::vector<float> squares;  // [n_matrices][n_columns]
    std::vector<float> n_rows;   // that came in, per matrix

    size_t n_matrices() const { return n_rows.size(); }
    size_t n_columns() const { return n_rows.empty() ? 0 : squares.size() / n_rows.size(); }
  };
  std::map<std::string, Entry> entries;  // by tensor
  uint32_t n_chunks = 0;                 // of the text, read so far
  uint32_t chunk_tokens = 0;
  std::string dataset;      // name of the text
  std::string text_digest;  // what exactly was read, so that only the same is gone on with
};

// Complete or not at all. Same sums, same bytes.
Status write_importance_sums(const ImportanceSums& sums, const std::filesystem::path& path);
// Errors name the file and what is wrong, as ImportanceFile::open; a file of another program has no
// digest.
Result<ImportanceSums> read_importance_sums(const std::filesystem::path& path);

}  // namespace quern::convert
