// Quantizing whole files: what becomes of tensors and metadata, errors, and the same bytes with any
// number of threads.
#include "models/convert/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <sstream>

#include "kernels/quantize/encoder.h"
#include "models/convert/synth.h"

namespace quern::convert {
namespace {

using formats::FormatId;
using ::testing::HasSubstr;

// A folder that is gone when the test is.
class ScratchFolder {
 public:
  ScratchFolder() {
    const std::string name = "quern-quantize-" + std::to_string(getpid());
    path_ = std::filesystem::temp_directory_path() / name;
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  size_t n_files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::filesystem::path synth(const ScratchFolder& folder, const std::string& shape,
                            const std::string& format) {
  const auto path = folder / (shape + "-" + format + ".gguf");
  SynthOptions options;
  options.shape = shape;
  options.format = format;
  const auto report = write_synthetic_model(options, path);
  EXPECT_TRUE(report.ok()) << report.error().message();
  return path;
}

std::shared_ptr<const gguf::GgufFile> open(const std::filesystem::path& path) {
  auto file = gguf::GgufFile::open(path);
  EXPECT_TRUE(file.ok()) << file.error().message();
  return *file;
}

QuantizeChoices choices_for(std::string_view recipe) {
  QuantizeChoices choices;
  choices.recipe = find_recipe(recipe);
  EXPECT_NE(choices.recipe, nullptr);
  return choices;
}

std::string plan_error(const gguf::GgufFile& file, const QuantizeChoices& choices) {
  const auto plan = plan_quantization(file, choices);
  return plan.ok() ? "" : plan.error().message();
}

// The bytes of a copy of `from` with its metadata or tensors changed.
struct Edit {
  std::function<void(gguf::Metadata&)> metadata = [](gguf::Metadata&) {};
  std::function<bool(const std::string&)> keep = [](const std::string&) { return true; };
};

void rewrite(const gguf::GgufFile& from, const std::filesystem::path& to, const Edit& edit) {
  gguf::GgufWriter writer;
  for (const auto& [key, value] : from.metadata().entries()) writer.metadata().set(key, value);
  edit.metadata(writer.metadata());
  for (const auto& tensor : from.tensors()) {
    if (!edit.keep(tensor.name)) continue;
    ASSERT_TRUE(writer
                    .add_tensor(tensor.name, tensor.format,
                                std::span(tensor.dims).first(static_cast<size_t>(tensor.n_dims)))
                    .ok());
  }
  auto output = writer.create(to);
  ASSERT_TRUE(output.ok());
  for (const auto& tensor : from.tensors()) {
    if (!edit.keep(tensor.name)) continue;
    ASSERT_TRUE((*output)->write_tensor(tensor.data).ok());
  }
  ASSERT_TRUE((*output)->finish().ok());
}

struct Entry {
  std::string tensor;
  uint64_t n_columns = 256;
  uint64_t n_matrices = 1;
  float sum = 1.0F;
  float count = 1.0F;
  int64_t unseen = -1;  // the matrix whose count is 0
};

std::filesystem::path write_importance(const ScratchFolder& folder, const std::string& name,
                                       const std::vector<Entry>& entries,
                                       const std::string& type = "imatrix") {
  const auto path = folder / name;
  gguf::GgufWriter writer;
  writer.metadata().set("general.type", type);
  writer.metadata().set("imatrix.datasets", std::vector<std::string>{"text.txt"});
  writer.metadata().set("imatrix.chunk_count", uint32_t{7});
  writer.metadata().set("imatrix.chunk_size", uint32_t{512});
  for (const Entry& entry : entries) {
    const uint64_t sums[] = {entry.n_columns, entry.n_matrices};
    const uint64_t counts[] = {1, entry.n_matrices};
    EXPECT_TRUE(writer.add_tensor(entry.tensor + ".in_sum2", FormatId::kF32, sums).ok());
    EXPECT_TRUE(writer.add_tensor(entry.tensor + ".counts", FormatId::kF32, counts).ok());
  }
  auto output = writer.create(path);
  EXPECT_TRUE(output.ok());
  for (const Entry& entry : entries) {
    std::vector<float> sums(entry.n_columns * entry.n_matrices);
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i] = entry.sum * static_cast<float>(1 + i % 7);
    }
    std::vector<float> counts(entry.n_matrices, entry.count);
    if (entry.unseen >= 0) counts[static_cast<size_t>(entry.unseen)] = 0;
    EXPECT_TRUE((*output)->write_tensor(std::as_bytes(std::span(sums))).ok());
    EXPECT_TRUE((*output)->write_tensor(std::as_bytes(std::span(counts))).ok());
  }
  EXPECT_TRUE((*output)->finish().ok());
  return path;
}

std::string importance_error(const std::filesystem::path& path) {
  const auto file = ImportanceFile::open(path);
  return file.ok() ? "" : file.error().message();
}

TEST(QuantizeFile, WritesWhatThePlanSays) {
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny", "F16"));
  const auto plan = plan_quantization(*file, choices_for("Q4_K_M"));
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  ASSERT_TRUE(quantize_file(*file, *plan, {.threads = 2}, folder / "out.gguf").ok());
  EXPECT_EQ(std::filesystem::file_size(folder / "out.gguf"), plan->file_bytes);
  const auto result = open(folder / "out.gguf");
  EXPECT_EQ(*result->metadata().get_uint("general.file_type"), 15U);
  EXPECT_EQ(*result->metadata().get_uint("general.quantization_version"), 2U);
  EXPECT_EQ(*result->metadata().get_string("general.name"),
            *file->metadata().get_string("general.name"));
  EXPECT_EQ(result->metadata().entries().size(), file->metadata().entries().size());
  ASSERT_EQ(result->tensors().size(), file->tensors().size());
  EXPECT_EQ(result->find_tensor("output.weight")->format, FormatId::kQ6_K);
  EXPECT_EQ(result->find_tensor("blk.0.attn_q.weight")->format, FormatId::kQ4_K);
  const gguf::TensorInfo* norm = result->find_tensor("blk.0.attn_norm.weight");
  ASSERT_EQ(norm->format, FormatId::kF32);
  EXPECT_EQ(std::memcmp(norm->data.data(), file->find_tensor("blk.0.attn_norm.weight")->data.data(),
                        norm->data.size()),
            0);
}

TEST(QuantizeFile, SameBytesWithAnyNumberOfThreads) {
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny", "BF16"));
  for (const char* recipe : {"Q4_K_M", "Q3_K_S", "Q8_0", "IQ4_XS"}) {
    std::string first;
    for (const int threads : {1, 2, 5}) {
      const auto plan = plan_quantization(*file, choices_for(recipe));
      ASSERT_TRUE(plan.ok());
      ASSERT_TRUE(quantize_file(*file, *plan, {.threads = threads}, folder / "out.gguf").ok());
      const std::string bytes = read_file(folder / "out.gguf");
      if (first.empty()) first = bytes;
      EXPECT_EQ(bytes, first) << recipe << " with " << threads << " threads";
    }
  }
}

TEST(QuantizeFile, OverridesComeBeforeTheRecipe) {
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny", "F16"));
  QuantizeChoices choices = choices_for("Q4_K_M");
  for (const char* text : {"blk.0.*=Q8_0", "ffn_down=F16"}) {
    const auto parsed = parse_override(text);
    ASSERT_TRUE(parsed.ok());
    choices.overrides.push_back(*parsed);
  }
  const auto plan = plan_quantization(*file, choices);
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  std::map<std::string, FormatId> formats;
  for (const PlannedTensor& tensor : plan->tensors) formats[tensor.source->name] = tensor.format;
  EXPECT_EQ(formats["blk.0.ffn_down.weight"], FormatId::kQ8_0);
  EXPECT_EQ(formats["blk.1.ffn_down.weight"], FormatId::kF16);
  EXPECT_EQ(formats["blk.0.attn_norm.weight"], FormatId::kF32);
}

TEST(QuantizeFile, PatternsMatchAnywhereOrByStars) {
  EXPECT_TRUE(pattern_matches("ffn_down", "blk.0.ffn_down.weight"));
  EXPECT_TRUE(pattern_matches("blk.1*.attn_?.weight*", "blk.11.attn_?.weight"));
  EXPECT_TRUE(pattern_matches("*down*", "blk.0.ffn_down.weight"));
  EXPECT_TRUE(pattern_matches("blk.*.weight", "blk.0.weight.weight"));
  EXPECT_FALSE(pattern_matches("blk.1.*", "blk.11.ffn_down.weight"));
  EXPECT_FALSE(pattern_matches("*up", "blk.0.ffn_up.weight"));
}

TEST(QuantizeFile, BadOverridesAreExplained) {
  EXPECT_THAT(parse_override("ffn_down").error().message(), HasSubstr("expected PATTERN=FORMAT"));
  EXPECT_THAT(parse_override("ffn_down=Q9").error().message(), HasSubstr("expected one of F32, "));
  EXPECT_FALSE(parse_override("ffn_down=Q8_K").ok());  // of scratch memory, not of files
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny", "F16"));
  QuantizeChoices choices = choices_for("Q4_0");
  choices.overrides = {{"no_such", FormatId::kQ8_0}};
  EXPECT_THAT(plan_error(*file, choices), HasSubstr("pattern 'no_such' matches no matrix"));
}

TEST(QuantizeFile, QuantizedInputNeedsConsent) {
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny", "Q8_0"));
  QuantizeChoices choices = choices_for("Q4_K_M");
  const std::string message = plan_error(*file, choices);
  EXPECT_THAT(message, HasSubstr("are quantized already"));
  EXPECT_THAT(message, HasSubstr("--allow-requantize"));
  choices.allow_requantize = true;
  const auto plan = plan_quantization(*file, choices);
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->notes, ::testing::Contains(HasSubstr("errors stay")));
  // The same formats again are a copy, which costs nothing.
  EXPECT_TRUE(plan_quantization(*file, choices_for("Q8_0")).ok());
}

TEST(QuantizeFile, FallsBackWhereBlocksDoNotDivideRows) {
  const ScratchFolder folder;
  const auto file = gguf::GgufFile::open(QUERN_SOURCE_DIR "/models/demo/stories260K.gguf");
  ASSERT_TRUE(file.ok());
  const auto plan = plan_quantization(**file, choices_for("Q4_K_M"));
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  EXPECT_THAT(plan->notes, ::testing::Contains(HasSubstr("no whole blocks")));
  for (const PlannedTensor& tensor : plan->tensors) {
    if (tensor.source->name != "blk.0.attn_q.weight") continue;
    EXPECT_EQ(tensor.format, FormatId::kQ5_0);  // rows of 64
    EXPECT_EQ(tensor.reason, FormatReason::kFallback);
  }
  EXPECT_TRUE(quantize_file(**file, *plan, {}, folder / "out.gguf").ok());
}

TEST(QuantizeFile, MissingTensorsAndForeignFilesAreRefused) {
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny", "F16"));
  rewrite(*file, folder / "hole.gguf",
          {.keep = [](const std::string& name) { return name != "blk.1.ffn_up.weight"; }});
  EXPECT_THAT(plan_error(*open(folder / "hole.gguf"), choices_for("Q8_0")),
              HasSubstr("tensor 'blk.1.ffn_up.weight' is missing"));
  rewrite(*file, folder / "bert.gguf", {.metadata = [](gguf::Metadata& metadata) {
    metadata.set("general.architecture", std::string("bert"));
  }});
  EXPECT_THAT(plan_error(*open(folder / "bert.gguf"), choices_for("Q8_0")),
              HasSubstr("architecture 'bert' cannot be quantized; known are llama"));
}

TEST(QuantizeFile, ImportanceChangesTheBytesAndIsNoted) {
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny", "F16"));
  const auto path = write_importance(folder, "some.imatrix", {{.tensor = "blk.0.attn_q.weight"}});
  QuantizeChoices choices = choices_for("Q4_K_S");
  const auto plain = plan_quantization(*file, choices);
  const auto importance = ImportanceFile::open(path);
  ASSERT_TRUE(importance.ok()) << importance.error().message();
  EXPECT_EQ((*importance)->n_chunks(), 7U);
  choices.importance = *importance;
  const auto weighted = plan_quantization(*file, choices);
  ASSERT_TRUE(plain.ok() && weighted.ok());
  EXPECT_THAT(weighted->notes, ::testing::Contains(HasSubstr("has nothing on")));
  ASSERT_TRUE(quantize_file(*file, *plain, {}, folder / "plain.gguf").ok());
  ASSERT_TRUE(quantize_file(*file, *weighted, {}, folder / "weighted.gguf").ok());
  const auto a = open(folder / "plain.gguf");
  const auto b = open(folder / "weighted.gguf");
  EXPECT_EQ(*b->metadata().get_string("quantize.imatrix.dataset"), "text.txt");
  const auto differ = [&](const char* name) {
    const auto* x = a->find_tensor(name);
    const auto* y = b->find_tensor(name);
    return std::memcmp(x->data.data(), y->data.data(), x->data.size()) != 0;
  };
  EXPECT_TRUE(differ("blk.0.attn_q.weight"));
  EXPECT_FALSE(differ("blk.0.attn_k.weight"));
}

// Each expert's matrix is encoded with its own weights, and one that nobody chose with equal ones.
TEST(QuantizeFile, ImportanceOfExpertsIsTheirOwn) {
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny-moe", "F16"));
  const std::string name = "blk.0.ffn_up_exps.weight";
  QuantizeChoices choices = choices_for("Q4_K_S");
  choices.importance = *ImportanceFile::open(write_importance(
      folder, "experts.imatrix", {{.tensor = name, .n_matrices = 8, .unseen = 3}}));
  const auto plan = plan_quantization(*file, choices);
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  EXPECT_THAT(plan->notes, ::testing::Contains(HasSubstr("without a token for 1 matrices")));
  ASSERT_TRUE(quantize_file(*file, *plan, {.threads = 2}, folder / "out.gguf").ok());
  const auto quantized = open(folder / "out.gguf");
  const gguf::TensorInfo& from = *file->find_tensor(name);
  const gguf::TensorInfo& to = *quantized->find_tensor(name);
  const formats::FormatInfo& format = formats::format_info(to.format);
  ASSERT_EQ(to.format, FormatId::kQ4_K);
  const quantize::Encode encode = quantize::find_encoder(to.format, {});
  std::vector<float> row(256);
  std::vector<float> weights(256);
  std::vector<std::byte> bytes(to.data.size() / to.n_rows());
  size_t n_unlike_plain = 0;
  for (uint64_t r = 0; r < to.n_rows(); ++r) {
    formats::format_info(from.format)
        .decode_row(from.data.data() + r * 256 * 2, row.data(), int64_t{256});
    const uint64_t expert = r / to.dims[1];
    for (size_t i = 0; i < weights.size(); ++i) {
      weights[i] = expert == 3 ? 1.0F : static_cast<float>(1 + (expert * 256 + i) % 7);
    }
    encode(row.data(), weights.data(), bytes.data(), 256);
    ASSERT_EQ(std::memcmp(bytes.data(), to.data.data() + r * bytes.size(), bytes.size()), 0) << r;
    encode(row.data(), nullptr, bytes.data(), 256);
    n_unlike_plain +=
        std::memcmp(bytes.data(), to.data.data() + r * bytes.size(), bytes.size()) != 0 ? 1 : 0;
  }
  EXPECT_GT(n_unlike_plain, 100U);
  EXPECT_EQ(*formats::row_bytes(format, 256), bytes.size());
}

TEST(QuantizeFile, ImportanceOfAnotherModelIsRefused) {
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny", "F16"));
  QuantizeChoices choices = choices_for("Q4_K_S");
  choices.importance = *ImportanceFile::open(
      write_importance(folder, "names.imatrix", {{.tensor = "blk.9.other.weight"}}));
  EXPECT_THAT(plan_error(*file, choices), HasSubstr("none for a matrix of this model"));
  choices.importance = *ImportanceFile::open(write_importance(
      folder, "shape.imatrix", {{.tensor = "blk.0.attn_q.weight", .n_columns = 128}}));
  EXPECT_THAT(plan_error(*file, choices), HasSubstr("128 columns, but the tensor is [256, 256]"));
}

TEST(QuantizeFile, DamagedImportanceIsRefused) {
  const ScratchFolder folder;
  EXPECT_THAT(importance_error(write_importance(folder, "a", {{.tensor = "x"}}, "model")),
              HasSubstr("general.type is not \"imatrix\""));
  EXPECT_THAT(importance_error(write_importance(folder, "b", {})), HasSubstr("is empty"));
  EXPECT_THAT(importance_error(write_importance(folder, "c", {{.tensor = "x", .sum = -1.0F}})),
              HasSubstr("no sum of squares"));
  EXPECT_THAT(importance_error(write_importance(
                  folder, "d", {{.tensor = "x", .sum = std::numeric_limits<float>::infinity()}})),
              HasSubstr("no sum of squares"));
  EXPECT_EQ(importance_error(write_importance(folder, "e", {{.tensor = "x", .count = 0.0F}})), "");
}

TEST(QuantizeFile, NothingIsLeftBehindWhenItFails) {
  const ScratchFolder folder;
  const auto file = open(synth(folder, "tiny", "F16"));
  const auto plan = plan_quantization(*file, choices_for("Q8_0"));
  ASSERT_TRUE(plan.ok());
  std::ofstream(folder / "out.gguf") << "before";
  const std::atomic<bool> stop{true};
  const Status stopped = quantize_file(*file, *plan, {.stop = &stop}, folder / "out.gguf");
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind(), ErrorKind::kCancelled);
  EXPECT_EQ(read_file(folder / "out.gguf"), "before");
  EXPECT_EQ(folder.n_files(), 2U);
}

TEST(QuantizeFile, InfiniteWeightsAreRefusedByName) {
  const ScratchFolder folder;
  const auto path = synth(folder, "tiny", "F32");
  {
    const auto file = open(path);
    const auto* tensor = file->find_tensor("blk.1.ffn_down.weight");
    const auto start = file->contents().front().data();
    std::fstream out(path, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(tensor->data.data() - start + 400);
    const float infinity = std::numeric_limits<float>::infinity();
    out.write(reinterpret_cast<const char*>(&infinity), sizeof(infinity));
  }
  const auto file = open(path);
  const auto plan = plan_quantization(*file, choices_for("Q8_0"));
  ASSERT_TRUE(plan.ok());
  const Status status = quantize_file(*file, *plan, {}, folder / "out.gguf");
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr("tensor 'blk.1.ffn_down.weight' holds a weight"));
  EXPECT_EQ(folder.n_files(), 1U);
}

}  // namespace
}  // namespace quern::convert
