// `quern fit` and `--budget` as a user sees them: what is recommended and why, what is made and
// kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "config/base/json.h"
#include "process.h"
#include "tests/engine/store/scratch_directory.h"

namespace quern::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class FitCommand : public ::testing::Test {
 protected:
  void SetUp() override { synth("tiny", "F16", "in.gguf"); }

  void synth(const std::string& shape, const std::string& format, const std::string& name) const {
    const Outcome outcome = run_quern({"synth", shape, format, path(name)});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  void quantize(const std::string& name, const std::string& recipe) const {
    const Outcome outcome = run_quern({"quantize", path("in.gguf"), path(name), recipe});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  Json fit(const std::vector<std::string>& more, int exit_code = 0) const {
    std::vector<std::string> arguments = {"fit", "--no-measure", "--json", "-c", "64", "-p", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_quern(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    const auto parsed = parse_json(outcome.out);
    EXPECT_TRUE(parsed.ok()) << outcome.out;
    return parsed.ok() ? *parsed : Json();
  }
  static Json recommended(const Json& report) {
    if (report["recommended"].is_null()) return {{"format", "none"}};
    return report["models"][report["recommended"].get<size_t>()];
  }
  // Bytes that the recipe needs with the context and sequences of fit().
  uint64_t needed(const std::string& recipe) const {
    const Json report = fit({path("in.gguf")});
    for (const Json& row : report["models"]) {
      if (row["format"] == recipe) return row["memory"]["total"].get<uint64_t>();
    }
    ADD_FAILURE() << recipe;
    return 0;
  }

  Outcome run_with_budget(uint64_t bytes, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"run",         "-n",         "2",
                                          "-c",          "64",         "--temperature",
                                          "0",           "--budget",   std::to_string(bytes),
                                          "--cache-dir", path("kept"), "a"};
    if (more.empty()) arguments.insert(arguments.end(), {"-m", path("in.gguf")});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_quern(arguments);
  }
  std::vector<std::string> kept() const {
    std::vector<std::string> names;
    if (!std::filesystem::exists(path("kept"))) return names;
    for (const auto& entry : std::filesystem::directory_iterator(path("kept"))) {
      if (entry.path().extension() == ".gguf") names.push_back(entry.path().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  tests::ScratchDirectory folder_;
};

TEST_F(FitCommand, RecommendsAQuantizationOfAFileOfFullPrecision) {
  const Json report = fit({path("in.gguf"), "--ram", std::to_string(needed("Q4_K_M"))});
  const Json best = recommended(report);
  EXPECT_EQ(best["planned"], true);
  EXPECT_EQ(best["fits"], "yes");
  EXPECT_GT(best["error"].get<double>(), 0.0);
  for (const Json& row : report["models"]) {
    EXPECT_EQ(row["fits"] == "yes", row["memory"]["total"] <= report["memory"]["allowed_bytes"]);
    if (row["fits"] == "yes") {
      EXPECT_GE(row["error"].get<double>(), best["error"].get<double>());
    }
  }
  EXPECT_EQ(report["models"][0]["file"], path("in.gguf"));
  EXPECT_EQ(report["models"][0]["error"], 0.0);
  EXPECT_GT(report["models"].size(), 20U);
}

TEST_F(FitCommand, TheTableMarksTheRowAndSaysWhy) {
  const Outcome outcome = run_quern({"fit", "--no-measure", "--context", "64", "--parallel", "1",
                                     "--ram", "1GiB", path("in.gguf")});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("1 sequences of 64 tokens"));
  EXPECT_THAT(outcome.out, HasSubstr("\n>     Q8_0"));
  EXPECT_THAT(outcome.out, HasSubstr("\n> Q8_0, to be quantized: smallest with hardly any error"));
}

TEST_F(FitCommand, ChoosesAmongFilesToo) {
  quantize("q6.gguf", "Q6_K");
  quantize("q4.gguf", "Q4_0");
  // Without a file to compare with, bits decide.
  const Json of_files = fit({"--ram", "1GiB", path("q4.gguf"), path("q6.gguf")});
  EXPECT_EQ(recommended(of_files)["file"], path("q6.gguf"));
  EXPECT_TRUE(of_files["models"][0]["error"].is_null());
  EXPECT_THAT(of_files["why"].get<std::string>(), HasSubstr("most bits per weight"));
  // With one, their errors are known and are those of the recipes.
  const Json all = fit({"--ram", "1GiB", path("q4.gguf"), path("q6.gguf"), path("in.gguf")});
  for (const Json& row : all["models"]) {
    if (row["format"] == "Q6_K" && row["planned"] == true) {
      EXPECT_EQ(row["error"], all["models"][1]["error"]);
    }
  }
  EXPECT_EQ(fit({"--files-only", path("in.gguf")})["models"].size(), 1U);
}

TEST_F(FitCommand, SaysWhyNothingIsRecommended) {
  const Json small = fit({"--ram", "100KiB", path("in.gguf")});
  EXPECT_TRUE(small["recommended"].is_null());
  EXPECT_THAT(small["why"].get<std::string>(), HasSubstr("nothing fits in 100 KiB"));
  synth("tiny-moe", "Q4_0", "other.gguf");
  const Json mixed = fit({path("in.gguf"), path("other.gguf")});
  EXPECT_TRUE(mixed["recommended"].is_null());
  EXPECT_THAT(mixed["why"].get<std::string>(), HasSubstr("other.gguf are of different models"));
  EXPECT_EQ(mixed["models"].size(), 2U);
  const Outcome card = run_quern({"fit", "--no-measure", "--vram", "8GiB", path("in.gguf")});
  EXPECT_EQ(card.exit_code, 1);
  EXPECT_THAT(card.err, HasSubstr("no kernels for one"));
}

TEST_F(FitCommand, ABudgetQuantizesOnceAndFindsItAgain) {
  const uint64_t bytes = needed("Q5_K_M");
  const Outcome first = run_with_budget(bytes);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("quantizing to "));
  EXPECT_THAT(first.err, HasSubstr("quantized now from " + path("in.gguf")));
  ASSERT_EQ(kept().size(), 1U);
  const auto time = std::filesystem::last_write_time(kept()[0]);
  const Outcome second = run_with_budget(bytes);
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_THAT(second.err, HasSubstr("quantized earlier from " + path("in.gguf")));
  EXPECT_THAT(second.err, Not(HasSubstr("quantizing to ")));
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(kept().size(), 1U);
  EXPECT_GE(std::filesystem::last_write_time(kept()[0]), time);
}

TEST_F(FitCommand, AChangedFileIsQuantizedAnew) {
  const uint64_t bytes = needed("Q5_K_M");
  ASSERT_EQ(run_with_budget(bytes).exit_code, 0);
  // One byte of the last tensor, and the time put back to what it was.
  const auto time = std::filesystem::last_write_time(path("in.gguf"));
  std::fstream file(path("in.gguf"), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-64, std::ios::end);
  const auto old = static_cast<char>(file.peek());
  file.seekp(-64, std::ios::end);
  file.put(static_cast<char>(old ^ 1));
  file.close();
  std::filesystem::last_write_time(path("in.gguf"), time);
  const Outcome outcome = run_with_budget(bytes);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("quantized now from "));
  EXPECT_EQ(kept().size(), 2U);
}

TEST_F(FitCommand, AKeptFileThatIsDamagedIsMadeAgain) {
  const uint64_t bytes = needed("Q5_K_M");
  const Outcome first = run_with_budget(bytes);
  ASSERT_EQ(kept().size(), 1U);
  std::fstream file(kept()[0], std::ios::in | std::ios::out | std::ios::binary);
  file.write("XXXX", 4);
  file.close();
  const Outcome second = run_with_budget(bytes);
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_THAT(second.err, HasSubstr("quantized now from "));
  EXPECT_EQ(second.out, first.out);
}

TEST_F(FitCommand, ABudgetThatIsLargeEnoughUsesTheFile) {
  const Outcome outcome = run_with_budget(uint64_t{1} << 30);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("note: F16: "));
  EXPECT_TRUE(kept().empty());
}

TEST_F(FitCommand, ABudgetThatIsTooSmallSaysWhatToChange) {
  const Outcome outcome = run_with_budget(100000);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("quern: --budget: nothing fits in 97.7 KiB"));
  EXPECT_THAT(outcome.err, HasSubstr("take a smaller model"));
  EXPECT_TRUE(kept().empty());
  const Outcome nowhere = run_quern({"run", "-m", path("in.gguf"), "-n", "2", "-c", "64",
                                     "--budget", std::to_string(needed("Q5_K_M")), "a"});
  EXPECT_EQ(nowhere.exit_code, 1);
  EXPECT_THAT(nowhere.err, HasSubstr("name one with --cache-dir"));
}

TEST_F(FitCommand, TwoProcessesMakeOneFile) {
  const std::string command = "$QUERN run -n 2 -c 64 --temperature 0 --budget " +
                              std::to_string(needed("Q5_K_M")) + " --cache-dir kept -m in.gguf a";
  const Outcome outcome = run_script("cd " + folder_.path().string() + "\n" + command +
                                     " >out1 2>err1 & one=$!\n" + command +
                                     " >out2 2>err2 & two=$!\n"
                                     "wait $one && wait $two && cmp out1 out2 && cat err1 err2");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  EXPECT_EQ(kept().size(), 1U);
  // Whoever came second found it; a message of each.
  EXPECT_THAT(outcome.out, HasSubstr("quantized now from "));
  EXPECT_THAT(outcome.out, HasSubstr("quantized earlier from "));
}

}  // namespace
}  // namespace quern::testing
