// `quern imatrix` as a user sees it: a file that quantize takes, going on later, one-sentence
// errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "process.h"
#include "tests/engine/store/scratch_directory.h"

namespace quern::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ImatrixCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    synth("tiny", "in.gguf");
    std::ofstream text(path("text.txt"));
    for (int i = 0; i < 200; ++i) text << "The mill of " << i << " stones grinds slowly. ";
  }

  void synth(const std::string& shape, const std::string& name) const {
    const Outcome outcome = run_quern({"synth", shape, "F16", path(name)});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  bool exists(const std::string& name) const { return std::filesystem::exists(path(name)); }
  std::string bytes_of(const std::string& name) const {
    std::ifstream in(path(name), std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  Outcome imatrix(const std::string& out, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {
        "imatrix", path("in.gguf"), path("text.txt"), "-o", path(out), "--chunk", "32"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_quern(arguments);
  }

  tests::ScratchDirectory folder_;
};

TEST_F(ImatrixCommand, MakesAFileThatQuantizeTakes) {
  const Outcome made = imatrix("a.gguf", {"--max-chunks", "4"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("14 matrices, from 4 chunks of 32 tokens"));
  EXPECT_THAT(made.err, HasSubstr("reading 100 %"));
  EXPECT_THAT(made.err, Not(HasSubstr("note:")));
  const Outcome used = run_quern(
      {"quantize", "--imatrix", path("a.gguf"), path("in.gguf"), path("q.gguf"), "IQ3_M"});
  EXPECT_EQ(used.exit_code, 0) << used.err;
  EXPECT_THAT(used.err, Not(HasSubstr("has nothing on")));
}

TEST_F(ImatrixCommand, GoesOnWhereItStopped) {
  ASSERT_EQ(imatrix("whole.gguf", {"--max-chunks", "6"}).exit_code, 0);
  ASSERT_EQ(imatrix("part.gguf", {"--max-chunks", "2", "-t", "1"}).exit_code, 0);
  EXPECT_NE(bytes_of("part.gguf"), bytes_of("whole.gguf"));
  const Outcome rest = imatrix("part.gguf", {"--max-chunks", "6"});
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_THAT(rest.err, HasSubstr("going on after chunk 2 of 6"));
  EXPECT_GT(bytes_of("whole.gguf").size(), 10000U);
  EXPECT_EQ(bytes_of("part.gguf"), bytes_of("whole.gguf"));
}

// Interrupted while it reads, it keeps what it has; the same command makes the same file as one
// that was never stopped.
TEST_F(ImatrixCommand, AnInterruptKeepsWhatIsDone) {
  const std::vector<std::string> some = {"--max-chunks", "40"};
  ASSERT_EQ(imatrix("whole.gguf", some).exit_code, 0);
  const Outcome outcome =
      run_script("cd " + folder_.path().string() +
                 "\n$QUERN imatrix in.gguf text.txt -o part.gguf --chunk 32 --max-chunks 40 2>err "
                 ">out & pid=$!\n"
                 "until grep -q reading err || ! kill -0 $pid; do sleep 0.01; done\n"
                 "kill -INT $pid; wait $pid; echo ended $?; cat err >&2");
  EXPECT_THAT(outcome.out, HasSubstr("ended 130")) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("the same command goes on from there"));
  ASSERT_TRUE(exists("part.gguf"));
  const Outcome rest = imatrix("part.gguf", some);
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_THAT(rest.err, HasSubstr("going on after chunk"));
  EXPECT_EQ(bytes_of("part.gguf"), bytes_of("whole.gguf"));
}

TEST_F(ImatrixCommand, ExpertsThatTheTextDoesNotReachAreNamed) {
  synth("tiny-moe", "in.gguf");
  std::ofstream(path("text.txt")) << std::string(200, 'a');
  const Outcome made = run_quern({"imatrix", path("in.gguf"), path("text.txt"), "-o",
                                  path("few.gguf"), "--chunk", "16", "--max-chunks", "1"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("note: no token of the text went into "));
  EXPECT_THAT(made.err, HasSubstr("blk.0.ffn_down_exps.weight["));
  const Outcome used = run_quern(
      {"quantize", "--imatrix", path("few.gguf"), path("in.gguf"), path("q.gguf"), "Q4_K_M"});
  ASSERT_EQ(used.exit_code, 0) << used.err;
  EXPECT_THAT(used.err, HasSubstr("was made without a token for "));
  EXPECT_EQ(run_quern({"run", "-m", path("q.gguf"), "-n", "2", "a"}).exit_code, 0);
}

TEST_F(ImatrixCommand, MistakesAreExplained) {
  const auto refused = [&](const Outcome& outcome, const std::string& words) {
    EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_THAT(outcome.err, ::testing::StartsWith("quern: "));
  };
  ASSERT_EQ(imatrix("a.gguf", {"--max-chunks", "1"}).exit_code, 0);
  const std::string before = bytes_of("a.gguf");
  std::ofstream(path("text.txt"), std::ios::app) << "More.";
  refused(imatrix("a.gguf"), "was made from another text or with another --chunk");
  EXPECT_EQ(bytes_of("a.gguf"), before);
  refused(run_quern({"imatrix", path("in.gguf"), path("text.txt"), "-o", path("in.gguf")}),
          "general.type is not \"imatrix\"");
  std::ofstream(path("text.txt"), std::ios::trunc) << "short";
  refused(imatrix("b.gguf"), "expected at least the 32 of one chunk");
  refused(run_quern({"imatrix", path("in.gguf"), path("none.txt"), "-o", path("b.gguf")}),
          "none.txt");
  refused(run_quern({"imatrix", path("none.gguf"), path("text.txt"), "-o", path("b.gguf")}),
          "none.gguf");
  EXPECT_FALSE(exists("b.gguf"));
}

}  // namespace
}  // namespace quern::testing
