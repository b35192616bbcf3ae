// Adapters of the peft package to GGUF: the golden ones of tests/golden/adapters become the files
// that the gguf package wrote beside them, and everything that cannot be carried over is refused by
// name, without a file left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "config/base/json.h"
#include "models/convert/huggingface/peft_adapter.h"
#include "models/convert/huggingface/peft_config.h"
#include "models/gguf/reader.h"

namespace quern::huggingface {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

const fs::path kGoldens = QUERN_SOURCE_DIR "/tests/golden";

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void write(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class PeftAdapter : public testing::Test {
 protected:
  PeftAdapter() {
    folder_ =
        fs::temp_directory_path() / (std::string("quern_peft_") +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~PeftAdapter() override { fs::remove_all(folder_); }

  // A golden adapter in a directory of its own, to be spoilt.
  fs::path copy_of(const std::string& name) const {
    const fs::path to = folder_ / name;
    fs::create_directories(to);
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
      fs::copy_file(kGoldens / "adapters" / name / file, to / file,
                    fs::copy_options::overwrite_existing);
    }
    return to;
  }
  fs::path out() const { return folder_ / "out.gguf"; }
  static fs::path base(const std::string& name) { return kGoldens / "arch" / (name + ".gguf"); }

  std::string error(const fs::path& directory, const std::string& base_name) const {
    const auto report = convert_peft_adapter(directory, base(base_name), out());
    EXPECT_FALSE(fs::exists(out()));
    return report.ok() ? "it was converted" : report.error().message();
  }

  // With a setting of adapter_config.json changed.
  std::string setting_error(const std::string& key, const Json& value) const {
    const fs::path directory = copy_of("qwen2");
    Json config = *parse_json(read(directory / "adapter_config.json"));
    config[key] = value;
    write(directory / "adapter_config.json", dump_json(config));
    return error(directory, "qwen2");
  }

  // With a text of the safetensors header replaced by another of the same length.
  std::string header_error(const std::string& from, const std::string& to,
                           bool everywhere = false) const {
    EXPECT_EQ(from.size(), to.size());
    const fs::path directory = copy_of("qwen2");
    std::string bytes = read(directory / "adapter_model.safetensors");
    size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos);
    for (; at != std::string::npos; at = everywhere ? bytes.find(from, at) : std::string::npos) {
      bytes.replace(at, to.size(), to);
    }
    write(directory / "adapter_model.safetensors", bytes);
    return error(directory, "qwen2");
  }

  fs::path folder_;
};

// Both files' tensors by name, shape, format and bytes, and the keys that matter.
void expect_same_adapter(const fs::path& made, const fs::path& expected) {
  const auto a = gguf::GgufFile::open(made);
  const auto b = gguf::GgufFile::open(expected);
  ASSERT_TRUE(a.ok() && b.ok());
  for (const char* key : {"general.type", "general.architecture", "adapter.type"}) {
    EXPECT_EQ(*(*a)->metadata().get_string(key), *(*b)->metadata().get_string(key)) << key;
  }
  EXPECT_EQ(*(*a)->metadata().get_float("adapter.lora.alpha"),
            *(*b)->metadata().get_float("adapter.lora.alpha"));
  ASSERT_EQ((*a)->tensors().size(), (*b)->tensors().size());
  for (const gguf::TensorInfo& tensor : (*b)->tensors()) {
    const gguf::TensorInfo* same = (*a)->find_tensor(tensor.name);
    ASSERT_NE(same, nullptr) << tensor.name;
    EXPECT_EQ(same->dims, tensor.dims) << tensor.name;
    EXPECT_EQ(same->format, tensor.format) << tensor.name;
    ASSERT_EQ(same->data.size(), tensor.data.size()) << tensor.name;
    EXPECT_EQ(std::memcmp(same->data.data(), tensor.data.data(), tensor.data.size()), 0)
        << tensor.name;
  }
}

TEST_F(PeftAdapter, GoldenAdaptersBecomeTheFilesOfTheReference) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"llama", "llama_untied_bias"}, {"qwen2", "qwen2"}, {"phi3", "phi3"}};
  for (const auto& [name, base_name] : cases) {
    SCOPED_TRACE(name);
    const fs::path directory = kGoldens / "adapters" / name;
    const auto report = convert_peft_adapter(directory, base(base_name), out());
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_EQ(report->name, name);
    EXPECT_EQ(report->file_bytes, fs::file_size(out()));
    expect_same_adapter(out(), directory / "adapter.gguf");
  }
}

TEST_F(PeftAdapter, SettingsThatCannotBeCarriedOverAreRefusedByName) {
  const std::vector<std::pair<std::string, Json>> cases = {
      {"use_dora", true},
      {"modules_to_save", Json::array({"embed_tokens"})},
      {"bias", "all"},
      {"bias", "lora_only"},
      {"lora_bias", true},
      {"alpha_pattern", {{"q_proj", 4}}},
      {"layer_replication", Json::array({Json::array({0, 2})})},
      {"trainable_token_indices", Json::array({1})},
      {"fan_in_fan_out", true},
      {"alora_invocation_tokens", Json::array({1, 2})},
      {"init_lora_weights", "pissa"},
      {"init_lora_weights", "loftq"},
      {"init_lora_weights", 7},
      {"use_qalora", true},
      {"target_parameters", Json::array({"mlp.experts.down_proj"})},
      {"a_setting_of_tomorrow", "on"},
      {"peft_type", "IA3"},
      {"peft_type", nullptr},
      {"r", 0},
      {"r", -4},
      {"r", "4"},
      {"r", 1e300},
      {"r", 1000000},
      {"r", 5},  // not that of the tensors
      {"lora_alpha", 0},
      {"lora_alpha", nullptr},
      {"lora_alpha", 1e300},
      {"use_rslora", 1},
  };
  for (const auto& [key, value] : cases) {
    EXPECT_THAT(
        setting_error(key, value),
        AllOf(HasSubstr(key == "r" && value == 5 ? "r is 5" : key + " is "), HasSubstr("; ")))
        << key << " " << value;
  }
}

TEST_F(PeftAdapter, SettingsWithoutEffectPass) {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, Json>>{{"lora_dropout", 0.1},
                                                 {"task_type", "CAUSAL_LM"},
                                                 {"init_lora_weights", "gaussian"},
                                                 {"base_model_name_or_path", "someone/model"},
                                                 {"a_setting_of_tomorrow", false}}) {
    const fs::path directory = copy_of("qwen2");
    Json config = *parse_json(read(directory / "adapter_config.json"));
    config[key] = value;
    write(directory / "adapter_config.json", dump_json(config));
    const auto report = convert_peft_adapter(directory, base("qwen2"), out());
    EXPECT_TRUE(report.ok()) << key << ": " << report.error().message();
  }
}

TEST_F(PeftAdapter, ConfigurationsThatAreNone) {
  for (const std::string text : {"", "[]", "{", "{\"r\": 4}", "\xff\xfe", "{\"peft_type\": []}"}) {
    const fs::path directory = copy_of("qwen2");
    write(directory / "adapter_config.json", text);
    EXPECT_THAT(error(directory, "qwen2"), HasSubstr("adapter_config.json: ")) << text;
  }
  const fs::path directory = copy_of("qwen2");
  write(directory / "adapter_config.json", std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(error(directory, "qwen2"), HasSubstr("at most 1 MiB"));
  fs::remove(directory / "adapter_config.json");
  EXPECT_THAT(error(directory, "qwen2"), HasSubstr("adapter_config.json"));
}

TEST_F(PeftAdapter, TensorsThatAreNoDeltasOfKnownMatrices) {
  EXPECT_THAT(header_error("self_attn.q_proj.lora_A.weight", "self_attn.q_proj.lora_C.weight"),
              HasSubstr("self_attn.q_proj.lora_C.weight is no half of a low-rank delta"));
  EXPECT_THAT(header_error("self_attn.q_proj", "self_attn.x_proj", true),
              AllOf(HasSubstr("changes module model.layers."), HasSubstr("self_attn.x_proj")));
  EXPECT_THAT(header_error("layers.1.", "layers.9.", true),
              AllOf(HasSubstr("layers.9."), HasSubstr("the base has no tensor blk.9.")));
  EXPECT_THAT(header_error("layers.1.", "layers.x.", true), HasSubstr("changes module"));
  EXPECT_THAT(header_error("lora_A.weight\"", "lora_B.weighU\"", false),
              HasSubstr("lora_B.weighU"));
}

TEST_F(PeftAdapter, OfAnotherModel) {
  // Narrower heads, another architecture without such a matrix, tied output.
  EXPECT_THAT(error(kGoldens / "adapters/llama", "llama_llama3"),
              AllOf(HasSubstr("adapter_model.safetensors: "), HasSubstr("--base")));
  EXPECT_THAT(error(kGoldens / "adapters/qwen2", "phi3"),
              AllOf(HasSubstr("models of phi3 have no such matrix"), HasSubstr("--base")));
  EXPECT_THAT(error(kGoldens / "adapters/phi3", "qwen2"),
              HasSubstr("models of qwen2 have no such matrix"));
  EXPECT_THAT(error(kGoldens / "adapters/qwen2", "qwen2moe"), HasSubstr("--base"));
  // A base that is an adapter itself.
  const auto report = convert_peft_adapter(kGoldens / "adapters/qwen2",
                                           kGoldens / "adapters/qwen2/adapter.gguf", out());
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message(), HasSubstr("expected the base model of the adapter"));
}

TEST_F(PeftAdapter, ValuesThatAreNoNumbers) {
  const fs::path directory = copy_of("qwen2");
  std::string bytes = read(directory / "adapter_model.safetensors");
  const uint32_t nan = 0x7fc00000;
  std::memcpy(bytes.data() + bytes.size() - 4, &nan, sizeof(nan));
  write(directory / "adapter_model.safetensors", bytes);
  EXPECT_THAT(error(directory, "qwen2"), HasSubstr("holds values that are no finite numbers"));
}

TEST_F(PeftAdapter, TruncatedOrMissingTensors) {
  const fs::path directory = copy_of("qwen2");
  const std::string bytes = read(directory / "adapter_model.safetensors");
  for (const size_t size : {size_t{0}, size_t{7}, size_t{100}, bytes.size() - 1}) {
    write(directory / "adapter_model.safetensors", std::string_view(bytes).substr(0, size));
    EXPECT_THAT(error(directory, "qwen2"), HasSubstr("adapter_model.safetensors")) << size;
  }
  fs::remove(directory / "adapter_model.safetensors");
  EXPECT_THAT(error(directory, "qwen2"), HasSubstr("adapter_model.safetensors"));
}

}  // namespace
}  // namespace quern::huggingface
