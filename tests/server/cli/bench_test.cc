// `quern synth`, `fit` and `bench` as a user runs them, on the demo models and on a tiny random
// one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "config/base/json.h"
#include "process.h"

namespace quern::testing {
namespace {

using ::testing::HasSubstr;

class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() /
              ("quern-bench-" + std::to_string(reinterpret_cast<uintptr_t>(this)))) {
    std::filesystem::create_directory(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

Json parsed(const std::string& text) {
  auto json = parse_json(text, {});
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? *json : Json();
}

TEST(Bench, ReportsEveryRowOfAnEmbeddedModel) {
  const Outcome outcome = run_quern({"bench", "stories260k", "-p", "16", "-n", "4", "-b", "1,2",
                                     "-c", "0,40", "-r", "2", "--no-measure", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json report = parsed(outcome.out);
  ASSERT_EQ(report["rows"].size(), 6U);  // for each depth: a prefill, two decodes
  for (const Json& row : report["rows"]) {
    const Json& rate = row["tokens_per_second"];
    EXPECT_EQ(rate["all"].size(), 2U);
    EXPECT_GT(rate["median"], 0.0);
    EXPECT_LE(rate["low"], rate["median"]);
    EXPECT_GE(rate["high"], rate["median"]);
    EXPECT_TRUE(row["share_of_int8_rate"].is_null());  // not measured, so not made up
  }
}

TEST(Bench, PrintsATable) {
  const Outcome outcome =
      run_quern({"bench", "-p", "8", "-n", "0", "-c", "0", "-r", "1", "--no-measure"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("prefill"));
  EXPECT_THAT(outcome.out, HasSubstr("quern hardware measure"));
}

TEST(Bench, SaysWhereTheTimeOfAStepWent) {
  const Outcome outcome = run_quern({"bench", "stories260k", "-p", "0", "-n", "4", "-b", "1", "-c",
                                     "0", "-r", "2", "--no-measure", "--operations", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json operations = parsed(outcome.out)["rows"][0]["operations"];
  ASSERT_FALSE(operations.empty());
  double matmul_us = 0;
  for (const Json& operation : operations) {
    if (operation["name"] != "matmul") continue;
    matmul_us = operation["us_per_step"];
    // 5 layers with 4 products each, and the output matrix.
    EXPECT_EQ(operation["calls_per_step"], 21.0);
  }
  EXPECT_GT(matmul_us, 0.0);

  const Outcome table = run_quern({"bench", "stories260k", "-p", "8", "-n", "0", "-c", "0", "-r",
                                   "1", "--no-measure", "--operations"});
  EXPECT_THAT(table.out, HasSubstr("attention"));
  EXPECT_THAT(table.out, HasSubstr("between"));
}

TEST(Bench, RefusesNothingToDo) {
  const Outcome outcome = run_quern({"bench", "-p", "0", "-n", "0", "--no-measure"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("nothing to measure"));
}

// Two of eight experts work for a token.
TEST(Bench, CountsOnlyTheExpertsOfAToken) {
  const Folder folder;
  const std::string model = folder.file("experts.gguf");
  ASSERT_EQ(run_quern({"synth", "tiny-moe", "Q8_0", model}).exit_code, 0);
  const Outcome outcome = run_quern({"bench", model, "-p", "8", "-n", "4", "-b", "1", "-c", "0",
                                     "-r", "1", "--no-measure", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json report = parsed(outcome.out);
  constexpr int64_t kAttention = 2 * 256 * 256 + 2 * 256 * 128;
  constexpr int64_t kRouter = 256 * 8;
  constexpr int64_t kChosen = 2 * 3 * 256 * 256;
  constexpr int64_t kOutput = 256 * 512;
  EXPECT_EQ(report["weight_values_per_token"], 2 * (kAttention + kRouter + kChosen) + kOutput);
  // Q8_0 takes 34 bytes for 32 values; the router is F32.
  EXPECT_EQ(report["weight_bytes_per_token"],
            (2 * (kAttention + kChosen) + kOutput) / 32 * 34 + 2 * kRouter * 4);
  for (const Json& row : report["rows"]) EXPECT_GT(row["tokens_per_second"]["median"], 0.0);
}

TEST(Synth, WritesAModelThatCanBeJudgedAndRun) {
  const Folder folder;
  const std::string model = folder.file("tiny.gguf");
  const Outcome written = run_quern({"synth", "tiny", "Q4_K_M", model});
  ASSERT_EQ(written.exit_code, 0) << written.err;
  EXPECT_THAT(written.err, HasSubstr("100 %"));

  const Outcome fitted = run_quern({"fit", "--no-measure", "--json", "-c", "64", "-p", "2", model});
  ASSERT_EQ(fitted.exit_code, 0) << fitted.err;
  const Json row = parsed(fitted.out)["models"][0];
  EXPECT_EQ(row["format"], "Q4_K_M");
  EXPECT_EQ(row["fits"], "yes");
  // 2 layers, keys and values, 2 heads of 64 in f16, 2 sequences of 64 tokens.
  EXPECT_EQ(row["memory"]["kv"], 2 * 2 * 2 * 64 * 2 * 2 * 64);

  const Outcome answered = run_quern({"run", "-m", model, "-n", "4", "-s", "1", "hello"});
  EXPECT_EQ(answered.exit_code, 0) << answered.err;
}

TEST(Synth, UsageErrors) {
  EXPECT_EQ(run_quern({"synth", "tiny", "Q4_K_M"}).exit_code, 2);
  const Outcome outcome = run_quern({"synth", "giant", "Q4_K_M", "/nonexistent/x.gguf"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("tinyllama-1.1b"));
}

TEST(Fit, SaysWhichFileCannotBeJudged) {
  const Outcome outcome = run_quern({"fit", "--no-measure", "/nonexistent/x.gguf"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/nonexistent/x.gguf"));
}

}  // namespace
}  // namespace quern::testing
