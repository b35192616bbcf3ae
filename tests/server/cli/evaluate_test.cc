// `quern perplexity` and `quern compare` as a user sees them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "config/base/json.h"
#include "process.h"
#include "tests/engine/store/scratch_directory.h"

namespace quern::testing {
namespace {

using ::testing::HasSubstr;

class EvaluateCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ifstream story(QUERN_SOURCE_DIR "/tests/golden/demo/expected_greedy.txt");
    std::string text{std::istreambuf_iterator<char>(story), {}};
    ASSERT_FALSE(text.empty());
    std::ofstream(path("story.txt")) << text;
    std::ofstream(path("short.txt")) << text.substr(0, 20);
  }

  std::string path(const std::string& name) const { return (scratch_.path() / name).string(); }
  std::string demo() const { return QUERN_SOURCE_DIR "/models/demo/stories260K.gguf"; }

  void synthesize(const std::string& format, const std::string& name) {
    const Outcome made = run_quern({"synth", "tiny", format, path(name)});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }

  Json json_of(std::vector<std::string> arguments) {
    const Outcome outcome = run_quern(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto parsed = parse_json(outcome.out);
    EXPECT_TRUE(parsed.ok()) << outcome.out;
    return parsed.ok() ? *parsed : Json();
  }

  tests::ScratchDirectory scratch_;
};

// The text is the model's own likeliest one, so each token is much likelier than one of 512.
TEST_F(EvaluateCommand, ScoresATextAndComparesWithAReference) {
  const std::vector<std::string> arguments = {"perplexity", demo(), path("story.txt"), "--context",
                                              "64"};
  const Outcome plain = run_quern(arguments);
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_THAT(plain.out, HasSubstr("perplexity"));
  EXPECT_THAT(plain.out, HasSubstr("windows of 64"));
  EXPECT_THAT(plain.err, HasSubstr("scoring 100 %"));

  auto with = arguments;
  with.insert(with.end(), {"--reference", demo(), "--json"});
  const Json same = json_of(with);
  EXPECT_LT(same["perplexity"]["value"], 3);
  EXPECT_GT(same["perplexity"]["value"], 1);
  EXPECT_EQ(same["perplexity"]["value"], same["reference_perplexity"]["value"]);
  EXPECT_EQ(same["kl_divergence"]["value"], 0);
  EXPECT_EQ(same["same_top_token"]["value"], 1);
  EXPECT_EQ(same["scored_tokens"], same["windows"].get<int64_t>() * 31);

  auto keep = arguments;
  keep.insert(keep.end(), {"--save-reference", path("demo.ref")});
  ASSERT_EQ(run_quern(keep).exit_code, 0);
  auto kept = arguments;
  kept.insert(kept.end(), {"--reference-file", path("demo.ref"), "--json"});
  const Json close = json_of(kept);
  EXPECT_EQ(close["perplexity"], same["perplexity"]);
  EXPECT_EQ(close["kl_divergence_is_lower_bound"], true);
  EXPECT_LT(close["kl_divergence"]["value"], 5e-4);
}

TEST_F(EvaluateCommand, ComparesFilesInOneTable) {
  synthesize("F16", "f16.gguf");
  synthesize("Q4_0", "q4.gguf");
  const std::vector<std::string> arguments = {"compare",     path("f16.gguf"),  path("q4.gguf"),
                                              "--text",      path("story.txt"), "--context",
                                              "64",          "--windows",       "2",
                                              "--no-measure"};
  const Outcome table = run_quern(arguments);
  ASSERT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("reference"));
  EXPECT_THAT(table.out, HasSubstr("Q4_0"));
  auto json = arguments;
  json.emplace_back("--json");
  const Json rows = json_of(json);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_FALSE(rows[0].contains("kl_divergence"));
  EXPECT_GT(rows[1]["kl_divergence"]["value"], 0);
  EXPECT_LT(rows[1]["bits_per_weight"], rows[0]["bits_per_weight"]);
}

TEST_F(EvaluateCommand, SaysWhatIsWrong) {
  const auto error_of = [&](std::vector<std::string> arguments) {
    const Outcome outcome = run_quern(arguments);
    EXPECT_EQ(outcome.exit_code, 1);
    return outcome.err;
  };
  EXPECT_THAT(error_of({"perplexity", demo(), path("none.txt")}),
              HasSubstr("cannot read the text"));
  EXPECT_THAT(error_of({"perplexity", demo(), path("short.txt")}),
              HasSubstr("two windows of 512 are the least"));
  EXPECT_THAT(error_of({"perplexity", demo(), path("story.txt"), "--context", "4096"}),
              HasSubstr("longer than the 512"));
  synthesize("F16", "other.gguf");
  EXPECT_THAT(error_of({"perplexity", demo(), path("story.txt"), "--context", "64", "--reference",
                        path("other.gguf")}),
              HasSubstr("compare files of the same model"));
  std::ofstream(path("bad.ref")) << "nothing";
  EXPECT_THAT(error_of({"perplexity", demo(), path("story.txt"), "--context", "64",
                        "--reference-file", path("bad.ref")}),
              HasSubstr("no file of reference probabilities"));
}

}  // namespace
}  // namespace quern::testing
