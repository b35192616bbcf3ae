// Folders that cannot be converted: one sentence that says why, and nothing at the output's place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>

#include "models/convert/huggingface/convert_folder.h"
#include "models/safetensors/checkpoint.h"
#include "tests/models/convert/huggingface/model_folder.h"
#include "tests/models/safetensors/raw_safetensors.h"

namespace quern::huggingface {
namespace {

using safetensors::Checkpoint;
using ::testing::HasSubstr;
using testing::ModelFolder;

// The tensors of a checkpoint, to be changed and written again.
struct Entry {
  std::string dtype;
  std::vector<uint64_t> shape;
  std::string bytes;
};
using Entries = std::map<std::string, Entry>;

Entries read_entries(const std::filesystem::path& folder) {
  Entries entries;
  const auto checkpoint = Checkpoint::open(folder);
  EXPECT_TRUE(checkpoint.ok());
  for (const auto& tensor : (*checkpoint)->tensors()) {
    entries[tensor.name] = {
        std::string(safetensors::dtype_name(tensor.dtype)), tensor.shape,
        std::string(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size())};
  }
  return entries;
}

std::string to_file(const Entries& entries) {
  Json header = Json::object();
  std::string data;
  for (const auto& [name, entry] : entries) {
    header[name] = {{"dtype", entry.dtype},
                    {"shape", entry.shape},
                    {"data_offsets", {data.size(), data.size() + entry.bytes.size()}}};
    data += entry.bytes;
  }
  return safetensors::raw::file(dump_json(header), data);
}

std::string error_of(const ModelFolder& folder) {
  const auto summary = convert_folder(folder.path(), folder.out(), {});
  EXPECT_FALSE(std::filesystem::exists(folder.out()) && !summary.ok());
  return summary.ok() ? "accepted" : summary.error().message();
}

std::string error_with(const std::string& model, const std::function<void(Entries&)>& change) {
  ModelFolder folder;
  folder.add(model);
  folder.add("letters");
  Entries entries = read_entries(folder.path());
  change(entries);
  folder.write("model.safetensors", to_file(entries));
  return error_of(folder);
}

constexpr char kQuery[] = "model.layers.0.self_attn.q_proj";

TEST(Refusal, FoldersWithoutTheirFiles) {
  ModelFolder folder;
  EXPECT_THAT(error_of(folder), HasSubstr("config.json: no such file"));
  folder.add("models/qwen2");
  EXPECT_THAT(error_of(folder), HasSubstr("neither tokenizer.json nor tokenizer.model"));
  folder.add("letters");
  EXPECT_EQ(error_of(folder), "accepted");
  std::filesystem::remove(folder.out());
  std::filesystem::remove(folder.path() / "model.safetensors");
  EXPECT_THAT(error_of(folder), HasSubstr("neither model.safetensors nor"));
  folder.write("config.json", "{");
  EXPECT_THAT(error_of(folder), HasSubstr("malformed"));
}

TEST(Refusal, TensorsThatAreNotThoseOfTheModel) {
  EXPECT_EQ(error_with("models/qwen2", [](Entries&) {}), "accepted");
  EXPECT_THAT(
      error_with("models/qwen2", [](Entries& e) { e.erase(std::string(kQuery) + ".weight"); }),
      HasSubstr("q_proj.weight' (query matrix) is missing"));
  EXPECT_THAT(error_with("models/qwen2",
                         [](Entries& e) {
                           e["model.extra"] = {"U8", {1}, "x"};
                         }),
              HasSubstr("'model.extra', U8 [1], has no place in architecture 'qwen2'"));
  EXPECT_THAT(error_with("models/qwen2",
                         [](Entries& e) {
                           e["model.layers.0.self_attn.o_proj.bias"] = {
                               "F32", {1}, std::string("\0\0\x80\x3f", 4)};
                         }),
              HasSubstr("o_proj.bias"));
  // As some tools write it; the embedding is the output matrix.
  EXPECT_EQ(
      error_with(
          "models/qwen2",
          [](Entries& e) {
            e["model.layers.0.self_attn.o_proj.bias"] = {"F32", {1}, std::string(4, '\0')};
            e["lm_head.weight"] = e["model.embed_tokens.weight"];
            e["model.layers.0.self_attn.rotary_emb.inv_freq"] = {"F32", {1}, std::string(4, '\1')};
          }),
      "accepted");
  EXPECT_THAT(error_with("models/qwen2",
                         [](Entries& e) {
                           e[std::string(kQuery) + ".weight"].shape = {8, 32};
                         }),
              HasSubstr("holds 8 x 32 values; expected 16 x 16"));
  EXPECT_THAT(
      error_with("models/qwen2",
                 [](Entries& e) {
                   e[std::string(kQuery) + ".weight"] = {"I8", {16, 16}, std::string(256, 'x')};
                 }),
      HasSubstr("no weight by itself"));
  EXPECT_THAT(error_with("models/qwen2",
                         [](Entries& e) {
                           std::string& bytes = e[std::string(kQuery) + ".weight"].bytes;
                           bytes[4] = '\x80';
                           bytes[5] = '\x7f';  // infinity
                         }),
              HasSubstr("infinite or not a number"));
}

TEST(Refusal, WeightsTooLargeForTheType) {
  ModelFolder folder;
  folder.add("models/qwen2");
  folder.add("letters");
  Entries entries = read_entries(folder.path());
  std::string& bytes = entries[std::string(kQuery) + ".weight"].bytes;
  bytes[4] = '\x80';
  bytes[5] = '\x47';  // 65536 as BF16
  folder.write("model.safetensors", to_file(entries));
  EXPECT_EQ(error_of(folder), "accepted");
  std::filesystem::remove(folder.out());
  ConvertChoices choices;
  choices.recipe = convert::find_recipe("F16");
  const auto narrow = convert_folder(folder.path(), folder.out(), choices);
  ASSERT_FALSE(narrow.ok());
  EXPECT_THAT(narrow.error().message(), HasSubstr("blk.0.attn_q.weight' holds a weight that is too "
                                                  "large for F16"));
}

TEST(Refusal, MissingOutputMatrix) {
  EXPECT_THAT(error_with("models/llama", [](Entries& e) { e.erase("lm_head.weight"); }),
              HasSubstr("'lm_head.weight' (output matrix) is missing"));
}

TEST(Refusal, PackedMatrices) {
  const std::string q = kQuery;
  const auto with = [&](const std::string& part, const Entry& entry) {
    return error_with("quantized/gptq4", [&](Entries& e) { e[q + part] = entry; });
  };
  EXPECT_THAT(error_with("quantized/gptq4", [&](Entries& e) { e.erase(q + ".scales"); }),
              HasSubstr("a qweight without qzeros and scales"));
  EXPECT_THAT(with(".scales", {"F16", {2, 16}, std::string(64, 'x')}),
              HasSubstr("expected floats [2, 32]"));
  EXPECT_THAT(with(".qzeros", {"I32", {2, 3}, std::string(24, 'x')}),
              HasSubstr("expected I32 [2, 4]"));
  EXPECT_THAT(with(".qweight", {"I8", {4, 32}, std::string(128, 'x')}),
              HasSubstr("expected I32 of two dimensions"));
  std::string groups(32 * 4, '\0');
  groups[4] = 2;
  EXPECT_THAT(with(".g_idx", {"I32", {32}, groups}), HasSubstr("groups below 2, not 2"));
  groups[7] = '\x80';
  EXPECT_THAT(with(".g_idx", {"I32", {32}, groups}), HasSubstr("groups below 2, not -"));
  // The words of one method under the name of another.
  ModelFolder folder;
  folder.add("quantized/gptq4");
  folder.add("letters");
  folder.edit("config.json", [](Json& c) { c["quantization_config"]["quant_method"] = "fp8"; });
  EXPECT_THAT(error_of(folder), HasSubstr("names neither gptq nor awq"));
}

TEST(Refusal, ScaledMatrices) {
  const std::string weight = std::string(kQuery) + ".weight";
  EXPECT_THAT(error_with("quantized/fp8", [&](Entries& e) { e.erase(weight + "_scale"); }),
              HasSubstr("weight_scale_inv' is missing"));
  EXPECT_THAT(error_with("quantized/fp8_blocks",
                         [&](Entries& e) {
                           e[weight + "_scale_inv"] = {"F32", {3, 2}, std::string(24, 'x')};
                         }),
              HasSubstr("expected one scale, one per row, or [2, 2]"));
  EXPECT_THAT(error_with("quantized/int8",
                         [](Entries& e) {
                           e[std::string(kQuery) + ".SCB"].shape = {8, 2};
                         }),
              HasSubstr("accepted"));
  EXPECT_THAT(error_with("quantized/int8",
                         [](Entries& e) {
                           e[std::string(kQuery) + ".SCB"] = {"F32", {4}, std::string(16, 'x')};
                         }),
              HasSubstr("expected 16 floats"));
  EXPECT_THAT(
      error_with("quantized/int8",
                 [](Entries& e) { e[std::string(kQuery) + ".weight_format"].bytes = "\2"; }),
      HasSubstr("rows in order"));
}

TEST(Refusal, FourBitMatrices) {
  const std::string weight = std::string(kQuery) + ".weight";
  const std::string state = weight + ".quant_state.bitsandbytes__nf4";
  const auto with_state = [&](const std::string& text) {
    return error_with("quantized/nf4", [&](Entries& e) { e[state] = {"U8", {text.size()}, text}; });
  };
  EXPECT_THAT(with_state("{"), HasSubstr("malformed"));
  EXPECT_THAT(with_state("[]"), HasSubstr("'shape'"));
  EXPECT_THAT(with_state(R"({"shape": [32]})"), HasSubstr("'shape'"));
  EXPECT_THAT(with_state(R"({"shape": [16, 16], "blocksize": 0})"), HasSubstr("'blocksize'"));
  EXPECT_THAT(with_state(R"({"shape": [16, 16], "blocksize": 64})"),
              HasSubstr("'nested_blocksize'"));
  EXPECT_THAT(with_state(R"({"shape": [4294967296, 4294967297], "blocksize": 64,
                             "nested_blocksize": 256})"),
              HasSubstr("two values a byte"));
  EXPECT_THAT(error_with("quantized/nf4", [&](Entries& e) { e.erase(weight + ".quant_map"); }),
              HasSubstr("quant_map' is missing"));
  EXPECT_THAT(error_with("quantized/nf4",
                         [&](Entries& e) {
                           e[weight + ".absmax"] = {"U8", {3}, "xyz"};
                         }),
              HasSubstr("expected 4 bytes"));
  EXPECT_THAT(error_with("quantized/nf4", [&](Entries& e) { e.erase(state); }),
              HasSubstr("bitsandbytes__nf4' is missing"));
}

TEST(Refusal, InterruptedLeavesNothing) {
  ModelFolder folder;
  folder.add("models/qwen2");
  folder.add("letters");
  folder.write("out.gguf", "what was there");
  const std::atomic<bool> stop{true};
  ConvertChoices choices;
  choices.options.stop = &stop;
  const auto summary = convert_folder(folder.path(), folder.out(), choices);
  ASSERT_FALSE(summary.ok());
  EXPECT_EQ(summary.error().kind(), ErrorKind::kCancelled);
  EXPECT_EQ(testing::bytes_of(folder.out()), "what was there");
}

}  // namespace
}  // namespace quern::huggingface
