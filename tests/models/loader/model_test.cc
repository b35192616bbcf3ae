// Facts of a loaded model, and the embedded models end to end: from file to the published text.
#include "models/loader/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "models/loader/embedded_model.h"
#include "tests/support/backends.h"
#include "tests/support/sequence_runner.h"
#include "tests/support/tiny_model.h"

namespace quern::loader {
namespace {

using tests_support::TinyModelOptions;

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Model, KnowsItsFacts) {
  auto backends = tests_support::test_backends();
  const TinyModelOptions options = tests_support::tiny_options_for(formats::FormatId::kQ8_0);
  const auto model = tests_support::tiny_model(options, *backends.back().backend);
  ASSERT_TRUE(model.ok()) << model.error().message();
  const ModelFacts& facts = (*model)->facts();
  EXPECT_EQ(facts.name, "tiny-llama");
  EXPECT_EQ(facts.architecture, "llama");
  EXPECT_EQ(facts.recipe, "Q8_0");
  EXPECT_EQ(facts.n_layers, 2);
  EXPECT_EQ(facts.n_embedding, 64);
  EXPECT_EQ(facts.n_vocab, tests_support::kTinyVocabSize);
  EXPECT_EQ(facts.context_length, 512);
  EXPECT_GT(facts.n_parameters, 0U);
  EXPECT_GT(facts.file_bytes, 0U);
  EXPECT_FALSE((*model)->has_own_template());
  EXPECT_EQ((*model)->tokenizer().vocab_size(), tests_support::kTinyVocabSize);
}

TEST(Model, TakesTheRecipeNameFromTheFileType) {
  auto backends = tests_support::test_backends();
  TinyModelOptions options;
  options.edit_metadata = [](gguf::Metadata& metadata) {
    metadata.set("general.file_type", uint32_t{15});
    metadata.set("general.license", std::string("mit"));
  };
  const auto model = tests_support::tiny_model(options, *backends.back().backend);
  ASSERT_TRUE(model.ok()) << model.error().message();
  EXPECT_EQ((*model)->facts().recipe, "Q4_K_M");
  EXPECT_EQ((*model)->facts().license, "mit");
}

// Weights and steps outlive the handle they came from: the weights hold the file.
TEST(Model, WeightsKeepTheFileAlive) {
  auto backends = tests_support::test_backends();
  backend::Backend& backend = *backends.back().backend;
  std::shared_ptr<const graph::DecoderWeights> weights;
  {
    auto model = tests_support::tiny_model({}, backend);
    ASSERT_TRUE(model.ok()) << model.error().message();
    weights = (*model)->weights();
  }
  auto runner = tests_support::SequenceRunner::create(backend, weights);
  ASSERT_TRUE(runner.ok());
  EXPECT_TRUE((*runner)->feed_for_last(std::vector<int32_t>{1, 5, 9}).ok());
}

TEST(EmbeddedModel, TheDefaultIsTheCommittedOne) {
  ASSERT_FALSE(embedded_models().empty()) << "built without models/demo/tales5M.gguf";
  EXPECT_EQ(embedded_models().front().name, "tales5m");
  const std::string on_disk =
      read_text(std::filesystem::path(QUERN_SOURCE_DIR) / "models/demo/tales5M.gguf");
  const auto bytes = embedded_model("tales5m");
  ASSERT_EQ(bytes.size(), on_disk.size());
  EXPECT_TRUE(
      std::equal(bytes.begin(), bytes.end(), reinterpret_cast<const std::byte*>(on_disk.data())));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % 64, 0U);
}

TEST(EmbeddedModel, NamesOpenItUnlessAFileIsCalledSo) {
  const auto by_default = open_file_or_embedded("");
  ASSERT_TRUE(by_default.ok()) << by_default.error().message();
  EXPECT_EQ((*by_default)->metadata().get_string("general.name").value(), "tales5M");
  const auto named = open_file_or_embedded("stories260k");
  ASSERT_TRUE(named.ok()) << named.error().message();
  EXPECT_EQ((*named)->metadata().get_string("general.name").value(), "stories260K");
  const auto unknown = open_file_or_embedded("stories260m");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message().find("stories260m"), std::string::npos);

  const std::filesystem::path file = "stories260k";  // in the working directory of the test
  std::ofstream(file) << "no model";
  const auto shadowed = open_file_or_embedded(file.string());
  std::filesystem::remove(file);
  EXPECT_FALSE(shadowed.ok());
}

TEST(EmbeddedModel, HoldsThePublishedWeights) {
  const auto path = std::filesystem::path(QUERN_SOURCE_DIR) / "models/demo/stories260K.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
  const std::string on_disk = read_text(path);
  const auto bytes = embedded_model("stories260k");
  ASSERT_EQ(bytes.size(), on_disk.size());
  EXPECT_TRUE(
      std::equal(bytes.begin(), bytes.end(), reinterpret_cast<const std::byte*>(on_disk.data())));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % 64, 0U);
}

// Greedy decoding from BOS until the model emits BOS or 256 positions are used, as published.
std::string greedy_story(const Model& model, backend::Backend& backend) {
  auto runner = tests_support::SequenceRunner::create(backend, model.weights());
  EXPECT_TRUE(runner.ok());
  const tokenizer::TokenId bos = *model.tokenizer().special().bos;
  std::vector<tokenizer::TokenId> text;
  for (int32_t token = bos; (*runner)->position() < 256;) {
    auto logits = (*runner)->feed_for_last(std::vector<int32_t>{token});
    EXPECT_TRUE(logits.ok());
    token =
        static_cast<int32_t>(std::max_element(logits->begin(), logits->end()) - logits->begin());
    if (token == bos) break;
    text.push_back(token);
  }
  auto decoded = model.tokenizer().decode(text);
  EXPECT_TRUE(decoded.ok());
  return *decoded;
}

TEST(DemoModel, WritesThePublishedStory) {
  const auto expected_path =
      std::filesystem::path(QUERN_SHARED_DATA_DIR) / "stories260K/expected_greedy.txt";
  if (!std::filesystem::exists(expected_path)) GTEST_SKIP() << expected_path << " is missing";
  if (embedded_model("stories260k").empty()) {
    GTEST_SKIP() << "built without models/demo/stories260K.gguf";
  }
  const std::string expected = read_text(expected_path);
  const auto file = gguf::GgufFile::from_bytes(embedded_model("stories260k"), "demo");
  ASSERT_TRUE(file.ok()) << file.error().message();
  for (const tests_support::NamedBackend& entry : tests_support::test_backends()) {
    SCOPED_TRACE(entry.name);
    auto model = Model::load(*file, *entry.backend);
    ASSERT_TRUE(model.ok()) << model.error().message();
    const std::string story = greedy_story(**model, *entry.backend);
    EXPECT_GT(story.size(), 200U);
    // The published file may end with a newline of its own.
    EXPECT_EQ(story, expected.substr(0, story.size()));
    EXPECT_LE(expected.size() - story.size(), 1U);
  }
}

}  // namespace
}  // namespace quern::loader
