// A folder of a model in a temporary place, put together from files and texts; gone when the object
// is. Shared by the tests of this folder.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "config/base/json.h"

namespace quern::huggingface::testing {

inline std::filesystem::path golden_folder() {
  return std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/convert";
}

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline Json json_of(const std::filesystem::path& path) {
  const auto parsed = parse_json(bytes_of(path));
  EXPECT_TRUE(parsed.ok()) << path;
  return parsed.ok() ? *parsed : Json();
}

class ModelFolder {
 public:
  ModelFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "quern-huggingface-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  ~ModelFolder() { std::filesystem::remove_all(path_); }
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path out() const { return path_ / "out.gguf"; }

  // All files of another folder, which is below tests/golden/convert.
  void add(const std::string& folder) const {
    for (const auto& entry : std::filesystem::directory_iterator(golden_folder() / folder)) {
      std::filesystem::copy_file(entry.path(), path_ / entry.path().filename(),
                                 std::filesystem::copy_options::overwrite_existing);
    }
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }
  // Changes a JSON file: change(json).
  template <typename Change>
  void edit(const std::string& name, Change change) const {
    Json json = json_of(path_ / name);
    change(json);
    write(name, dump_json(json));
  }

 private:
  std::filesystem::path path_;
};

}  // namespace quern::huggingface::testing
