// The real vocabularies of ../shared/data/tokenizers, for tests.
//
// A missing folder is reported, so that a test can skip with a note; a broken file fails it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "models/gguf/reader.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::tokenizer {

inline constexpr const char* kVocabNames[] = {"llama-spm", "phi-3",          "gpt-2",
                                              "starcoder", "deepseek-coder", "bert-bge"};

inline std::filesystem::path vocab_path(const std::string& name) {
  return std::filesystem::path(QUERN_SHARED_DATA_DIR) / "tokenizers" /
         ("ggml-vocab-" + name + ".gguf");
}

inline std::string read_whole(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// Null, with a failure recorded, when the file is there but cannot be used.
inline std::shared_ptr<const Tokenizer> load_vocab(const std::string& name) {
  auto file = gguf::GgufFile::open(vocab_path(name));
  if (!file.ok()) {
    ADD_FAILURE() << file.error().message();
    return nullptr;
  }
  auto tokenizer = Tokenizer::from_metadata(file.value()->metadata());
  if (!tokenizer.ok()) {
    ADD_FAILURE() << tokenizer.error().message();
    return nullptr;
  }
  return tokenizer.value();
}

}  // namespace quern::tokenizer

// Skips the running test when the shared data is not there.
#define QUERN_REQUIRE_VOCAB(name)                                                            \
  if (!std::filesystem::exists(::quern::tokenizer::vocab_path(name))) {                      \
    GTEST_SKIP() << "needs " << ::quern::tokenizer::vocab_path(name) << ", which is absent"; \
  }                                                                                          \
  static_assert(true)
