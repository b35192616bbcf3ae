// Every golden model of tests/golden/arch (or of the folder that QUERN_ARCH_GOLDENS names, for
// check_random.py there): logits equal those of the transformers package, and the bits do not
// depend on how the prompt was cut or on the instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "models/gguf/reader.h"
#include "models/loader/model.h"
#include "tests/support/backends.h"
#include "tests/support/sequence_runner.h"

namespace quern {
namespace {

struct Golden {
  std::shared_ptr<const gguf::GgufFile> file;
  std::vector<int32_t> prompt;
  std::vector<float> logits;  // [prompt, n_vocab]
  int64_t context_length = 0;
};

std::vector<std::filesystem::path> golden_paths() {
  const char* folder = std::getenv("QUERN_ARCH_GOLDENS");
  if (folder == nullptr) folder = QUERN_SOURCE_DIR "/tests/golden/arch";
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".gguf") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

Golden open_golden(const std::filesystem::path& path) {
  Golden golden;
  auto file = gguf::GgufFile::open(path);
  EXPECT_TRUE(file.ok()) << file.error().message();
  golden.file = *file;
  const auto prompt = golden.file->metadata().find_array<int32_t>("golden.prompt");
  golden.prompt = **prompt;
  golden.context_length =
      static_cast<int64_t>(*golden.file->metadata().get_uint("golden.context_length"));
  const gguf::TensorInfo* logits = golden.file->find_tensor("golden.logits");
  golden.logits.resize(logits->n_values());
  std::memcpy(golden.logits.data(), logits->data.data(), logits->data.size());
  return golden;
}

std::vector<float> run(backend::Backend& backend, const loader::Model& model,
                       const std::vector<int32_t>& prompt, int32_t chunk) {
  std::vector<float> logits;
  auto runner = tests_support::SequenceRunner::create(backend, model.weights());
  EXPECT_TRUE(runner.ok());
  const Status status = (*runner)->feed(prompt, chunk, logits);
  EXPECT_TRUE(status.ok());
  return logits;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class GoldenTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenTest, LogitsEqualTheReference) {
  const Golden golden = open_golden(GetParam());
  std::vector<float> first_bits;
  for (const tests_support::NamedBackend& entry : tests_support::test_backends()) {
    SCOPED_TRACE(entry.name);
    auto model =
        loader::Model::load(golden.file, *entry.backend, {.context_length = golden.context_length});
    ASSERT_TRUE(model.ok()) << model.error().message();
    EXPECT_EQ((*model)->facts().unused_tensors, std::vector<std::string>{"golden.logits"});

    const std::vector<float> whole = run(*entry.backend, **model, golden.prompt, 64);
    ASSERT_EQ(whole.size(), golden.logits.size());
    float worst = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      worst = std::max(worst, std::fabs(whole[i] - golden.logits[i]));
    }
    EXPECT_LE(worst, 1e-4F);
    RecordProperty(entry.name, std::to_string(worst));

    for (const int32_t chunk : {1, 7, 33}) {
      EXPECT_TRUE(same_bits(whole, run(*entry.backend, **model, golden.prompt, chunk))) << chunk;
    }
    if (!entry.reproducible) continue;
    if (first_bits.empty()) first_bits = whole;
    EXPECT_TRUE(same_bits(whole, first_bits)) << "other bits than the first instruction set";
  }
}

// Leaving out rows of the last layer, or all of them, must not change what is left.
TEST_P(GoldenTest, OnlyWantedRowsGiveTheSameBits) {
  const Golden golden = open_golden(GetParam());
  const auto backends = tests_support::test_backends();
  backend::Backend& backend = *backends.back().backend;
  auto model = loader::Model::load(golden.file, backend, {.context_length = golden.context_length});
  ASSERT_TRUE(model.ok()) << model.error().message();
  const auto n_vocab = static_cast<size_t>((*model)->facts().n_vocab);
  const std::vector<float> whole = run(backend, **model, golden.prompt, 64);
  auto runner = tests_support::SequenceRunner::create(backend, (*model)->weights());
  ASSERT_TRUE(runner.ok());
  const auto prompt = std::span<const int32_t>(golden.prompt);
  ASSERT_TRUE((*runner)->feed_silently(prompt.first(11)).ok());
  auto last = (*runner)->feed_for_last(prompt.subspan(11));
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(
      std::memcmp(last->data(), whole.data() + whole.size() - n_vocab, n_vocab * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(Arch, GoldenTest, testing::ValuesIn(golden_paths()),
                         [](const auto& golden) { return golden.param.stem().string(); });

}  // namespace
}  // namespace quern
