// Checkpoints that transformers saved, and checkpoints that other packages quantized, come out as
// those say: every tensor byte for byte, and logits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "config/base/digest.h"
#include "models/convert/huggingface/convert_folder.h"
#include "models/convert/quantize.h"
#include "models/gguf/reader.h"
#include "models/loader/model.h"
#include "tests/models/convert/huggingface/model_folder.h"
#include "tests/models/safetensors/raw_safetensors.h"
#include "tests/support/backends.h"
#include "tests/support/sequence_runner.h"

namespace quern::huggingface {
namespace {

using ::testing::HasSubstr;
using testing::ModelFolder;

std::vector<std::string> cases_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(testing::golden_folder() / folder)) {
    names.push_back(folder + "/" + entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::shared_ptr<const gguf::GgufFile> convert(const ModelFolder& folder, const char* recipe,
                                              int threads = 2) {
  ConvertChoices choices;
  choices.recipe = recipe == nullptr ? nullptr : convert::find_recipe(recipe);
  choices.options.threads = threads;
  const auto summary = convert_folder(folder.path(), folder.out(), choices);
  EXPECT_TRUE(summary.ok()) << summary.error().message();
  if (!summary.ok()) return nullptr;
  auto file = gguf::GgufFile::open(folder.out());
  EXPECT_TRUE(file.ok()) << file.error().message();
  if (!file.ok()) return nullptr;
  EXPECT_EQ(std::filesystem::file_size(folder.out()), summary->file_bytes);
  EXPECT_EQ((*file)->tensors().size(), summary->n_tensors);
  return *file;
}

std::string digest_of(const gguf::TensorInfo& tensor) {
  return to_hex(Sha256().add(tensor.data).finish()).substr(0, 16);  // as the goldens have it
}

void expect_tensors(const gguf::GgufFile& file, const Json& expected) {
  for (const auto& [name, wanted] : expected.items()) {
    const gguf::TensorInfo* tensor = file.find_tensor(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->format, formats::FormatId::kF32) << name;
    const std::vector<uint64_t> dims(tensor->dims.begin(), tensor->dims.begin() + tensor->n_dims);
    EXPECT_EQ(dims, wanted["shape"].get<std::vector<uint64_t>>()) << name;
    EXPECT_EQ(digest_of(*tensor), wanted["sha256"].get<std::string>()) << name;
  }
}

class SavedModel : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_.add(GetParam());
    folder_.add("letters");
    expected_ = testing::json_of(testing::golden_folder() / GetParam() / "expected.json");
  }

  ModelFolder folder_;
  Json expected_;
};

TEST_P(SavedModel, TensorsAreThoseOfTheReference) {
  const auto file = convert(folder_, "F32");
  ASSERT_NE(file, nullptr);
  expect_tensors(*file, expected_["tensors"]);
  // No more, but for what config.json holds.
  const auto n_rope = static_cast<size_t>(
      std::count_if(file->tensors().begin(), file->tensors().end(),
                    [](const auto& tensor) { return tensor.name.starts_with("rope_"); }));
  EXPECT_EQ(file->tensors().size(), expected_["tensors"].size() + n_rope);
}

TEST_P(SavedModel, LogitsAreThoseOfTheReference) {
  const auto file = convert(folder_, "F32");
  ASSERT_NE(file, nullptr);
  const auto backends = tests_support::test_backends();
  backend::Backend& backend = *backends.back().backend;
  auto model = loader::Model::load(file, backend, {});
  ASSERT_TRUE(model.ok()) << model.error().message();
  EXPECT_TRUE((*model)->facts().unused_tensors.empty());
  const auto prompt = expected_["prompt"].get<std::vector<int32_t>>();
  auto runner = tests_support::SequenceRunner::create(backend, (*model)->weights());
  ASSERT_TRUE(runner.ok());
  std::vector<float> logits;
  ASSERT_TRUE((*runner)->feed(prompt, 64, logits).ok());
  const Json& rows = expected_["last_logits"];
  const auto n_vocab = static_cast<size_t>((*model)->facts().n_vocab);
  const size_t first = logits.size() - rows.size() * n_vocab;
  double worst = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    ASSERT_EQ(rows[r].size(), n_vocab);
    for (size_t i = 0; i < n_vocab; ++i) {
      const auto ours = static_cast<double>(logits[first + r * n_vocab + i]);
      worst = std::max(worst, std::fabs(ours - rows[r][i].get<double>()));
    }
  }
  EXPECT_LE(worst, 1e-4);
  RecordProperty("worst", std::to_string(worst));
}

// What is stored in 16 bits keeps them: the same bytes as F32 after widening.
TEST_P(SavedModel, StoredTypeIsKeptByDefault) {
  const auto wide = convert(folder_, "F32");
  ASSERT_NE(wide, nullptr);
  std::vector<float> before;
  for (const auto& tensor : wide->tensors()) {
    const auto n = tensor.n_values();
    const auto* values = reinterpret_cast<const float*>(tensor.data.data());
    before.insert(before.end(), values, values + n);
  }
  const auto file = convert(folder_, nullptr);
  ASSERT_NE(file, nullptr);
  size_t at = 0;
  for (const auto& tensor : file->tensors()) {
    const bool vector = tensor.n_dims == 1 || tensor.name.ends_with("ffn_gate_inp.weight");
    EXPECT_EQ(tensor.format, vector ? formats::FormatId::kF32 : formats::FormatId::kBF16)
        << tensor.name;
    std::vector<float> values(tensor.n_values());
    formats::format_info(tensor.format)
        .decode_row(tensor.data.data(), values.data(), static_cast<int64_t>(values.size()));
    EXPECT_EQ(std::memcmp(values.data(), before.data() + at, values.size() * sizeof(float)), 0)
        << tensor.name;
    at += values.size();
  }
}

INSTANTIATE_TEST_SUITE_P(All, SavedModel, ::testing::ValuesIn(cases_in("models")),
                         [](const auto& saved) { return saved.param.substr(7); });

class QuantizedModel : public ::testing::TestWithParam<std::string> {};

TEST_P(QuantizedModel, DecodesToWhatTheReferenceDecodesTo) {
  ModelFolder folder;
  folder.add(GetParam());
  folder.add("letters");
  const auto file = convert(folder, "F32");
  ASSERT_NE(file, nullptr);
  const Json expected = testing::json_of(testing::golden_folder() / GetParam() / "expected.json");
  EXPECT_EQ(expected["tensors"].size(), 7u);
  expect_tensors(*file, expected["tensors"]);
}

INSTANTIATE_TEST_SUITE_P(All, QuantizedModel, ::testing::ValuesIn(cases_in("quantized")),
                         [](const auto& saved) { return saved.param.substr(10); });

// A checkpoint of one layer whose rows hold whole blocks of every format.
void write_wide_model(const ModelFolder& folder) {
  folder.add("models/llama_yarn");
  folder.edit("config.json", [](Json& c) {
    for (const char* key : {"hidden_size", "intermediate_size"}) c[key] = 256;
    c["head_dim"] = 128;
    c["num_hidden_layers"] = 1;
  });
  const std::string layer = "model.layers.0.";
  const std::vector<std::pair<std::string, std::vector<uint64_t>>> tensors = {
      {"model.embed_tokens", {48, 256}},        {"model.norm", {256}},
      {layer + "input_layernorm", {256}},       {layer + "post_attention_layernorm", {256}},
      {layer + "self_attn.q_proj", {256, 256}}, {layer + "self_attn.k_proj", {128, 256}},
      {layer + "self_attn.v_proj", {128, 256}}, {layer + "self_attn.o_proj", {256, 256}},
      {layer + "mlp.gate_proj", {256, 256}},    {layer + "mlp.up_proj", {256, 256}},
      {layer + "mlp.down_proj", {256, 256}}};
  Json header = Json::object();
  std::string data;
  uint32_t state = 1;
  for (const auto& [name, shape] : tensors) {
    const size_t begin = data.size();
    const uint64_t n = shape[0] * (shape.size() > 1 ? shape[1] : 1);
    for (uint64_t i = 0; i < n; ++i) {
      state = state * 1664525U + 1013904223U;
      const float value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-33F;
      data.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    header[name + ".weight"] = {
        {"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data.size()}}};
  }
  folder.write("model.safetensors", safetensors::raw::file(dump_json(header), data));
  folder.add("letters");
}

// A recipe on the way is the same as the recipe afterwards, with any number of threads.
TEST(Recipes, SameBytesAsQuantizingLater) {
  ModelFolder folder;
  write_wide_model(folder);
  const auto file = convert(folder, "F32");
  ASSERT_NE(file, nullptr);
  for (const char* recipe : {"F16", "Q8_0", "Q4_K_M"}) {
    SCOPED_TRACE(recipe);
    convert::QuantizeChoices later_choices;
    later_choices.recipe = convert::find_recipe(recipe);
    const auto plan = convert::plan_quantization(*file, later_choices);
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    const auto later = folder.path() / "later.gguf";
    ASSERT_TRUE(convert::quantize_file(*file, *plan, {}, later).ok());
    ConvertChoices choices;
    choices.recipe = convert::find_recipe(recipe);
    choices.options.threads = 3;
    const auto at_once = folder.path() / "at_once.gguf";
    ASSERT_TRUE(convert_folder(folder.path(), at_once, choices).ok());
    EXPECT_EQ(testing::bytes_of(later), testing::bytes_of(at_once));
  }
}

TEST(Keys, NameLicenseTemplateAndTokens) {
  ModelFolder folder;
  folder.add("models/qwen2");
  folder.add("letters");
  ConvertChoices choices;
  choices.name = "A name";
  choices.license = "mit";
  ASSERT_TRUE(convert_folder(folder.path(), folder.out(), choices).ok());
  const auto file = gguf::GgufFile::open(folder.out());
  ASSERT_TRUE(file.ok());
  const gguf::Metadata& keys = (*file)->metadata();
  EXPECT_EQ(*keys.get_string("general.architecture"), "qwen2");
  EXPECT_EQ(*keys.get_string("general.name"), "A name");
  EXPECT_EQ(*keys.get_string("general.license"), "mit");
  EXPECT_EQ(*keys.get_uint("general.file_type"), 32u);  // BF16
  EXPECT_THAT(std::string(*keys.get_string("tokenizer.chat_template")), HasSubstr("m.content"));
  const auto tokens = keys.find_array<std::string>("tokenizer.ggml.tokens");
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ((*tokens)->size(), 48u);
  EXPECT_EQ((*tokens)->back(), "[PAD47]");
}

}  // namespace
}  // namespace quern::huggingface
