// Adapters on the command line: converted, added to `run` and `perplexity`, and refused in one
// sentence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "process.h"
#include "tests/engine/store/scratch_directory.h"

namespace quern::testing {
namespace {

using ::testing::HasSubstr;

const std::string kGoldens = QUERN_SOURCE_DIR "/tests/golden/";
const std::string kBase = kGoldens + "arch/llama_untied_bias.gguf";
const std::string kAdapter = kGoldens + "adapters/llama/adapter.gguf";

std::string answer(std::vector<std::string> options) {
  std::vector<std::string> arguments = {"run", "-m", kBase, "--temperature", "0", "-n", "24"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  arguments.push_back("a b c");
  const Outcome outcome = run_quern(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return outcome.out;
}

class AdapterCommand : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (scratch_.path() / name).string(); }
  tests::ScratchDirectory scratch_;
};

TEST_F(AdapterCommand, AConvertedAdapterIsTheReferencesAndMovesTheAnswer) {
  const Outcome made = run_quern(
      {"convert", kGoldens + "adapters/llama", path("made.gguf"), "--base", kBase, "--name", "x"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("LoRA adapter for llama, 15 matrices"));
  const std::string plain = answer({});
  const std::string with = answer({"--lora", path("made.gguf")});
  EXPECT_NE(plain, with);
  EXPECT_EQ(with, answer({"--lora", kAdapter}));
  EXPECT_EQ(with, answer({"--lora", "name=" + kAdapter + ":1"}));
  EXPECT_EQ(with, answer({"--lora", kAdapter + ":0.25", "--lora", "b=" + kAdapter + ":0.75",
                          "--max-step-tokens", "1"}))
      << "the same amount in two parts, to the precision of these texts";
  EXPECT_EQ(plain, answer({"--lora", kAdapter + ":0"}));
}

TEST_F(AdapterCommand, TheSummarySaysWhatIsAdded) {
  const Outcome outcome =
      run_quern({"run", "-v", "-m", kBase, "-n", "1", "--lora", "sql=" + kAdapter + ":0.5", "a"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("adapters    sql (LoRA of rank 4 on 15 matrices, 20.2 KiB, "
                                     "scale 0.5) from " +
                                     kAdapter));
}

TEST_F(AdapterCommand, WhatCannotBeIsOneSentence) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {kAdapter + ":nan", "the scale must be a number from -1000 to 1000"},
      {kAdapter + ":1e9", "the scale must be a number from -1000 to 1000"},
      {":1", "no file is named"},
      {"sql=", "no file is named"},
      {"/nowhere/adapter.gguf", "/nowhere/adapter.gguf"},
      {kBase, "general.type is "},
      {kGoldens + "adapters/qwen2/adapter.gguf", "the model's is \"llama\""},
  };
  for (const auto& [value, why] : cases) {
    const Outcome outcome = run_quern({"run", "-m", kBase, "--lora", value, "a"});
    EXPECT_EQ(outcome.exit_code, 1) << value;
    EXPECT_THAT(outcome.err, HasSubstr(why)) << value;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
  const Outcome twice =
      run_quern({"run", "-m", kBase, "--lora", kAdapter, "--lora", kAdapter, "a"});
  EXPECT_EQ(twice.exit_code, 1);
  EXPECT_THAT(twice.err, HasSubstr("there is another adapter called 'adapter'"));
}

TEST_F(AdapterCommand, ConvertSaysWhatIsMissing) {
  const Outcome no_base = run_quern({"convert", kGoldens + "adapters/llama", path("out.gguf")});
  EXPECT_EQ(no_base.exit_code, 2);
  EXPECT_THAT(no_base.err, HasSubstr("--base"));
  const Outcome too_many =
      run_quern({"convert", kGoldens + "adapters/llama", "tok.bin", path("out.gguf")});
  EXPECT_EQ(too_many.exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(path("out.gguf")));
}

TEST_F(AdapterCommand, PerplexityTellsHowFarAnAdapterMoves) {
  std::ofstream text(path("text.txt"));
  for (int i = 0; i < 400; ++i) text << static_cast<char>('a' + i * i % 26) << ' ';
  text.close();
  const std::vector<std::string> plain = {"perplexity", kBase, path("text.txt"), "--context", "32",
                                          "--windows",  "4",   "--reference",    kBase};
  const Outcome same = run_quern(plain);
  ASSERT_EQ(same.exit_code, 0) << same.err;
  EXPECT_THAT(same.out, HasSubstr("KL divergence                     0.000000"));
  std::vector<std::string> with = plain;
  with.insert(with.end(), {"--lora", kAdapter});
  const Outcome moved = run_quern(with);
  ASSERT_EQ(moved.exit_code, 0) << moved.err;
  EXPECT_THAT(moved.out, ::testing::Not(HasSubstr("KL divergence                     0.000000")));
  EXPECT_THAT(moved.out, HasSubstr("KL divergence"));
}

}  // namespace
}  // namespace quern::testing
