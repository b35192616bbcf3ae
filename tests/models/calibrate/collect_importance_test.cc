// Importance matrices: the sums are those of the inputs, and reading on later gives the same file.
#include "models/calibrate/collect_importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <vector>

#include "models/convert/importance.h"
#include "tests/support/backends.h"
#include "tests/support/tiny_model.h"

namespace quern::calibrate {
namespace {

constexpr int32_t kChunk = 16;

class ScratchFolder {
 public:
  ScratchFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("quern-calibrate-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<int32_t> some_tokens(size_t n) {
  std::vector<int32_t> tokens(n);
  for (size_t i = 0; i < n; ++i) tokens[i] = static_cast<int32_t>(3 + i * 37 % 300);
  return tokens;
}

class CollectTest : public ::testing::Test {
 protected:
  void SetUp() override {
    backends_ = tests_support::test_backends();
    auto model = tests_support::tiny_model({}, backend());
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
  }
  backend::Backend& backend() { return *backends_.back().backend; }

  convert::ImportanceSums collect(const std::vector<int32_t>& tokens, CollectOptions options) {
    options.chunk_tokens = kChunk;
    convert::ImportanceSums sums;
    sums.chunk_tokens = kChunk;
    const Status status = collect_importance(backend(), *model_, tokens, options, sums);
    EXPECT_TRUE(status.ok()) << status.error().message();
    return sums;
  }

  // Row `token` of the F32 embedding.
  std::vector<float> embedding(int32_t token) const {
    const gguf::TensorInfo* tensor = model_->file().find_tensor("token_embd.weight");
    std::vector<float> row(tensor->dims[0]);
    std::memcpy(row.data(),
                tensor->data.data() + static_cast<size_t>(token) * row.size() * sizeof(float),
                row.size() * sizeof(float));
    return row;
  }

  std::vector<tests_support::NamedBackend> backends_;
  std::shared_ptr<const loader::Model> model_;
};

// The first block's queries read the embeddings through a norm, which is easy to work out.
TEST_F(CollectTest, SumsAreThoseOfTheInputs) {
  std::vector<int32_t> tokens = some_tokens(kChunk);
  const convert::ImportanceSums sums = collect(tokens, {});
  if (model_->tokenizer().special().add_bos) tokens[0] = *model_->tokenizer().special().bos;
  const gguf::TensorInfo* norm = model_->file().find_tensor("blk.0.attn_norm.weight");
  std::vector<float> weight(norm->dims[0]);
  std::memcpy(weight.data(), norm->data.data(), norm->data.size());
  std::vector<double> expected(weight.size());
  for (const int32_t token : tokens) {
    const std::vector<float> row = embedding(token);
    double power = 0;
    for (const float x : row) power += double{x} * double{x};
    const double scale = 1 / std::sqrt(power / static_cast<double>(row.size()) + 1e-5);
    for (size_t i = 0; i < row.size(); ++i) {
      const double value = double{row[i]} * scale * double{weight[i]};
      expected[i] += value * value;
    }
  }
  const auto& queries = sums.entries.at("blk.0.attn_q.weight");
  EXPECT_THAT(queries.n_rows, ::testing::ElementsAre(kChunk));
  ASSERT_EQ(queries.squares.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(queries.squares[i], expected[i], 1e-3 * expected[i]) << i;
  }
  EXPECT_EQ(sums.entries.at("blk.0.attn_v.weight").squares, queries.squares);
}

TEST_F(CollectTest, EveryMatrixOfEveryBlockIsThereAndNoOther) {
  const convert::ImportanceSums sums = collect(some_tokens(kChunk), {});
  size_t n_matrices = 0;
  for (const gguf::TensorInfo& tensor : model_->file().tensors()) {
    const bool expected = tensor.n_dims == 2 && tensor.name.starts_with("blk.");
    EXPECT_EQ(sums.entries.contains(tensor.name), expected) << tensor.name;
    n_matrices += expected ? 1 : 0;
  }
  EXPECT_EQ(sums.entries.size(), n_matrices);
}

// 5 experts of which a token uses 2; stacked, or a tensor for each expert.
class CollectExpertsTest : public CollectTest {
 protected:
  void load(bool split) {
    tests_support::TinyModelOptions options;
    options.n_experts = 5;
    options.split_experts = split;
    auto model = tests_support::tiny_model(options, backend());
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
  }
};

TEST_F(CollectExpertsTest, EveryExpertGetsTheTokensThatChoseIt) {
  load(false);
  const convert::ImportanceSums sums = collect(some_tokens(2 * kChunk), {});
  const auto& dense = sums.entries.at("blk.1.ffn_gate_inp.weight");
  for (const std::string block : {"blk.0.", "blk.1."}) {
    const auto& gate = sums.entries.at(block + "ffn_gate_exps.weight");
    EXPECT_EQ(gate.n_matrices(), 5U);
    EXPECT_EQ(gate.n_columns(), 64U);
    EXPECT_EQ(std::accumulate(gate.n_rows.begin(), gate.n_rows.end(), 0.0F), 2 * 2 * kChunk);
    EXPECT_EQ(sums.entries.at(block + "ffn_up_exps.weight").squares, gate.squares);
    const auto& down = sums.entries.at(block + "ffn_down_exps.weight");
    EXPECT_EQ(down.n_rows, gate.n_rows);
    EXPECT_EQ(down.n_columns(), 96U);
  }
  // All experts together see what the router sees, once for each expert used.
  const auto& gate = sums.entries.at("blk.1.ffn_gate_exps.weight");
  for (size_t i = 0; i < gate.n_columns(); ++i) {
    double sum = 0;
    for (size_t m = 0; m < gate.n_matrices(); ++m) sum += gate.squares[m * gate.n_columns() + i];
    EXPECT_NEAR(sum, 2 * dense.squares[i], 1e-4 * sum) << i;
  }
}

TEST_F(CollectExpertsTest, FilesWithATensorForEachExpertHaveTheSameSums) {
  load(false);
  const convert::ImportanceSums stacked = collect(some_tokens(2 * kChunk), {});
  load(true);
  const convert::ImportanceSums split = collect(some_tokens(2 * kChunk), {});
  const auto& stack = stacked.entries.at("blk.0.ffn_down_exps.weight");
  for (size_t m = 0; m < 5; ++m) {
    const auto& one = split.entries.at("blk.0.ffn_down." + std::to_string(m) + ".weight");
    EXPECT_EQ(one.n_rows, std::vector<float>{stack.n_rows[m]});
    const auto first = stack.squares.begin() + static_cast<std::ptrdiff_t>(m * 96);
    EXPECT_EQ(one.squares, std::vector<float>(first, first + 96));
  }
}

TEST_F(CollectExpertsTest, ExpertsThatNobodyChoseAreNamedAndCountAlike) {
  const ScratchFolder folder;
  load(false);
  // The same token over and over, without a chunk's first, chooses few experts.
  const convert::ImportanceSums sums = collect(std::vector<int32_t>(kChunk, 7), {});
  const std::vector<std::string> unseen = matrices_without_input(sums);
  ASSERT_FALSE(unseen.empty());
  EXPECT_THAT(unseen.front(),
              ::testing::MatchesRegex("blk\\.[01]\\.ffn_down_exps\\.weight\\[[0-4]\\]"));
  ASSERT_TRUE(convert::write_importance_sums(sums, folder / "few").ok());
  const auto file = convert::ImportanceFile::open(folder / "few");
  ASSERT_TRUE(file.ok()) << file.error().message();
  uint64_t n_unseen = 0;
  for (const auto& [name, entry] : sums.entries) {
    const convert::Importance* importance = (*file)->find(name);
    ASSERT_NE(importance, nullptr);
    n_unseen += importance->n_unseen;
    for (size_t m = 0; m < entry.n_matrices(); ++m) {
      const float* means = importance->of(m);
      for (size_t i = 0; i < entry.n_columns(); ++i) {
        const float sum = entry.squares[m * entry.n_columns() + i];
        EXPECT_EQ(means[i], entry.n_rows[m] > 0 ? sum / entry.n_rows[m] : 1.0F);
      }
    }
  }
  EXPECT_EQ(n_unseen, unseen.size());
}

TEST_F(CollectExpertsTest, GoingOnLaterGivesTheSameFile) {
  const ScratchFolder folder;
  load(false);
  const std::vector<int32_t> tokens = some_tokens(4 * kChunk);
  ASSERT_TRUE(convert::write_importance_sums(collect(tokens, {}), folder / "whole").ok());
  ASSERT_TRUE(
      convert::write_importance_sums(collect(tokens, {.max_chunks = 1}), folder / "part").ok());
  auto part = convert::read_importance_sums(folder / "part");
  ASSERT_TRUE(part.ok()) << part.error().message();
  CollectOptions options;
  options.chunk_tokens = kChunk;
  ASSERT_TRUE(collect_importance(backend(), *model_, tokens, options, *part).ok());
  ASSERT_TRUE(convert::write_importance_sums(*part, folder / "part").ok());
  EXPECT_EQ(read_file(folder / "part"), read_file(folder / "whole"));
}

TEST_F(CollectTest, GoingOnLaterGivesTheSameFile) {
  const ScratchFolder folder;
  const std::vector<int32_t> tokens = some_tokens(5 * kChunk + 3);
  ASSERT_TRUE(convert::write_importance_sums(collect(tokens, {}), folder / "whole").ok());
  ASSERT_TRUE(
      convert::write_importance_sums(collect(tokens, {.max_chunks = 2}), folder / "part").ok());
  auto part = convert::read_importance_sums(folder / "part");
  ASSERT_TRUE(part.ok()) << part.error().message();
  EXPECT_EQ(part->n_chunks, 2U);
  CollectOptions options;
  options.chunk_tokens = kChunk;
  ASSERT_TRUE(collect_importance(backend(), *model_, tokens, options, *part).ok());
  EXPECT_EQ(part->n_chunks, 5U);
  ASSERT_TRUE(convert::write_importance_sums(*part, folder / "part").ok());
  EXPECT_EQ(read_file(folder / "part"), read_file(folder / "whole"));
  const auto importance = convert::ImportanceFile::open(folder / "whole");
  ASSERT_TRUE(importance.ok()) << importance.error().message();
  EXPECT_EQ((*importance)->n_chunks(), 5U);
  ASSERT_NE((*importance)->find("blk.1.ffn_down.weight"), nullptr);
}

TEST_F(CollectTest, AnInterruptSavesWhatIsDone) {
  std::atomic<bool> stop{false};
  int saved = 0;
  CollectOptions options;
  options.chunk_tokens = kChunk;
  options.stop = &stop;
  options.save = [&] {
    ++saved;
    return ok_status();
  };
  options.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_EQ(total, 4U);
    stop.store(done == 2);
  };
  convert::ImportanceSums sums;
  const Status status =
      collect_importance(backend(), *model_, some_tokens(4 * kChunk), options, sums);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind(), ErrorKind::kCancelled);
  EXPECT_THAT(status.error().message(), ::testing::HasSubstr("after 2 of 4 chunks"));
  EXPECT_EQ(sums.n_chunks, 2U);
  EXPECT_EQ(saved, 1);
}

TEST_F(CollectTest, SumsOfAnotherModelAreRefused) {
  convert::ImportanceSums sums;
  sums.entries["blk.0.attn_q.weight"] = {.squares = {1.0F, 2.0F}, .n_rows = {1.0F}};
  CollectOptions options;
  options.chunk_tokens = kChunk;
  const Status status = collect_importance(backend(), *model_, some_tokens(kChunk), options, sums);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), ::testing::HasSubstr("made with another model"));
}

}  // namespace
}  // namespace quern::calibrate
