// `quern convert` as a user sees it: a folder, with and without a recipe, and one-sentence errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "config/base/json.h"
#include "process.h"

namespace quern::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

// The folder of a small model, gone when the test is.
class ConvertCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("quern-cli-convert-" + std::to_string(getpid()));
    fs::create_directories(folder_ / "model");
    const fs::path golden = fs::path(QUERN_SOURCE_DIR) / "tests/golden/convert";
    for (const char* part : {"quantized/gptq4", "letters"}) {
      for (const auto& entry : fs::directory_iterator(golden / part)) {
        fs::copy_file(entry.path(), folder_ / "model" / entry.path().filename());
      }
    }
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

 private:
  fs::path folder_;
};

TEST_F(ConvertCommand, WritesAFileThatRuns) {
  const Outcome outcome = run_quern({"convert", path("model"), path("out.gguf"), "-t", "2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("llama, 11 tensors as F16, decoded from gptq"));
  EXPECT_THAT(outcome.err, HasSubstr("converting 100 %"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("\r")));  // not a terminal
  const Outcome run = run_quern({"run", "-m", path("out.gguf"), "-n", "2", "abc"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
}

TEST_F(ConvertCommand, RecipeAndSummary) {
  const Outcome outcome = run_quern(
      {"convert", "--json", "--type", "q8_0", "--name", "N", path("model"), path("out.gguf")});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto summary = parse_json(outcome.out);
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ((*summary)["recipe"], "Q8_0");
  EXPECT_EQ((*summary)["quantized_by"], "gptq");
  EXPECT_EQ((*summary)["output_bytes"], fs::file_size(path("out.gguf")));
  const Outcome shown = run_quern({"inspect", path("out.gguf")});
  EXPECT_THAT(shown.out, HasSubstr("Q8_0"));
}

TEST_F(ConvertCommand, MistakesAreExplained) {
  const auto refused = [&](std::vector<std::string> arguments, int code, const char* words) {
    arguments.insert(arguments.begin(), "convert");
    const Outcome outcome = run_quern(arguments);
    EXPECT_EQ(outcome.exit_code, code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_FALSE(fs::exists(path("out.gguf")));
  };
  refused({path("nothing"), path("out.gguf")}, 2, "is no folder; expected the folder");
  refused({path("model"), path("x"), path("out.gguf")}, 2, "is a folder");
  refused({path("model"), path("out.gguf"), "--base", path("base.gguf")}, 2,
          "has no adapter_config.json");
  refused({"--type", "Q8_0", path("a.bin"), path("b.bin"), path("out.gguf")}, 2,
          "--type is for folders");
  refused({"--type", "Q4_K_X", path("model"), path("out.gguf")}, 1,
          "there is no recipe \"Q4_K_X\"; expected one of F32");
  refused({path("model"), path("no/such/out.gguf")}, 1, "no/such");
  fs::remove(path("model/tokenizer.json"));
  refused({path("model"), path("out.gguf")}, 1, "neither tokenizer.json nor tokenizer.model");
  fs::remove(path("model/config.json"));
  refused({path("model"), path("out.gguf")}, 1, "config.json: no such file");
}

}  // namespace
}  // namespace quern::testing
