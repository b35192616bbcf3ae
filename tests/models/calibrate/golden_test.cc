// The importance of a mixture of experts is what llama-imatrix finds (tests/golden/imatrix).
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "models/calibrate/collect_importance.h"
#include "models/convert/synth.h"
#include "tests/support/backends.h"

namespace quern::calibrate {
namespace {

constexpr int32_t kChunk = 64;
constexpr size_t kStride = 16;  // of the sums that are in the file

TEST(ImatrixGolden, ExpertsAreCountedAsLlamaImatrixCountsThem) {
  convert::SynthOptions options;
  options.shape = "tiny-moe";
  options.format = "F32";
  const auto bytes = convert::synthetic_model_bytes(options);
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  auto file = gguf::GgufFile::from_bytes(*bytes, "tiny-moe");
  ASSERT_TRUE(file.ok()) << file.error().message();
  const auto backends = tests_support::test_backends();
  backend::Backend& backend = *backends.back().backend;
  const auto model = loader::Model::load(std::move(file).value(), backend);
  ASSERT_TRUE(model.ok()) << model.error().message();
  std::ifstream in(QUERN_SOURCE_DIR "/tests/golden/imatrix/text.txt");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto tokens = calibration_tokens((*model)->tokenizer(), text);
  ASSERT_TRUE(tokens.ok());
  convert::ImportanceSums sums;
  const Status status = collect_importance(backend, **model, *tokens,
                                           {.chunk_tokens = kChunk, .max_chunks = 4}, sums);
  ASSERT_TRUE(status.ok()) << status.error().message();

  std::ifstream golden(QUERN_SOURCE_DIR "/tests/golden/imatrix/experts.txt");
  size_t n_matrices = 0;
  for (std::string line; std::getline(golden, line);) {
    std::istringstream fields(line);
    std::string name;
    size_t matrix = 0;
    float count = 0;
    double total = 0;
    ASSERT_TRUE(fields >> name >> matrix >> count >> total) << line;
    ASSERT_TRUE(sums.entries.contains(name)) << name;
    const convert::ImportanceSums::Entry& entry = sums.entries.at(name);
    ASSERT_LT(matrix, entry.n_matrices()) << name;
    EXPECT_EQ(entry.n_rows[matrix], count) << name << ' ' << matrix;
    const float* squares = entry.squares.data() + matrix * entry.n_columns();
    double sum = 0;
    for (size_t i = 0; i < entry.n_columns(); ++i) sum += double{squares[i]};
    EXPECT_NEAR(sum, total, 1e-3 * total) << name << ' ' << matrix;
    size_t column = 0;
    for (double value = 0; fields >> value; column += kStride) {
      EXPECT_NEAR(squares[column], value, 2e-3 * value + 1e-6 * total) << name << ' ' << column;
    }
    EXPECT_EQ(column, entry.n_columns()) << name;
    ++n_matrices;
  }
  size_t expected = 0;
  for (const auto& [name, entry] : sums.entries) expected += entry.n_matrices();
  EXPECT_EQ(n_matrices, expected);
  EXPECT_EQ(n_matrices, 2U * (5 + 3 * 8));
}

}  // namespace
}  // namespace quern::calibrate
