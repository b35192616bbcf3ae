// `quern quantize` as a user sees it: one-sentence errors, the dry run, the summary.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/base/json.h"
#include "process.h"

namespace quern::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A folder with a small model in F16, gone when the test is.
class QuantizeCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("quern-cli-quantize-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    const Outcome outcome = run_quern({"synth", "tiny", "F16", path("in.gguf")});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  bool exists(const std::string& name) const { return std::filesystem::exists(folder_ / name); }

  std::string bytes_of(const std::string& name) const {
    std::ifstream in(folder_ / name, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }

  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  static constexpr const char* kWork =
      "$QUERN quantize --isa scalar -t 1 in.gguf out.gguf IQ1_M 2>err &\n";

  // Fails with exit code 1, one sentence that holds `words`, and nothing at out.gguf.
  void expect_refused(std::vector<std::string> arguments, const std::string& words) const {
    arguments.insert(arguments.begin(), "quantize");
    const Outcome outcome = run_quern(arguments);
    EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_THAT(outcome.err, ::testing::StartsWith("quern: "));
    EXPECT_FALSE(exists("out.gguf"));
  }

 private:
  std::filesystem::path folder_;
};

TEST_F(QuantizeCommand, WritesAFileThatRuns) {
  const Outcome outcome =
      run_quern({"quantize", path("in.gguf"), path("out.gguf"), "q4_k_m", "-t", "2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("bits per weight"));
  EXPECT_THAT(outcome.err, HasSubstr("quantizing 100 %"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("\r")));  // not a terminal
  const Outcome run = run_quern({"run", "-m", path("out.gguf"), "-n", "2", "a"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
}

TEST_F(QuantizeCommand, DryRunTellsTheSizeAndWritesNothing) {
  const Outcome dry =
      run_quern({"quantize", "--dry-run", "--json", path("in.gguf"), path("out.gguf"), "Q4_K_M"});
  ASSERT_EQ(dry.exit_code, 0) << dry.err;
  EXPECT_FALSE(exists("out.gguf"));
  const auto summary = parse_json(dry.out);
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ((*summary)["recipe"], "Q4_K_M");
  ASSERT_EQ(run_quern({"quantize", path("in.gguf"), path("out.gguf"), "Q4_K_M"}).exit_code, 0);
  EXPECT_EQ((*summary)["output_bytes"], std::filesystem::file_size(path("out.gguf")));
  const Outcome list =
      run_quern({"quantize", "--dry-run", path("in.gguf"), path("out.gguf"), "Q4_K_M"});
  EXPECT_THAT(list.out, HasSubstr("output.weight"));
  EXPECT_THAT(list.out, HasSubstr("Q6_K     recipe"));
}

TEST_F(QuantizeCommand, SameBytesWithEveryInstructionSet) {
  ASSERT_EQ(run_quern({"quantize", path("in.gguf"), path("a.gguf"), "IQ3_M"}).exit_code, 0);
  ASSERT_EQ(run_quern({"quantize", "--isa", "scalar", "-t", "3", path("in.gguf"), path("b.gguf"),
                       "IQ3_M"})
                .exit_code,
            0);
  const std::string a = bytes_of("a.gguf");
  EXPECT_GT(a.size(), 100000U);
  EXPECT_EQ(a, bytes_of("b.gguf"));
}

TEST_F(QuantizeCommand, MistakesAreExplained) {
  expect_refused({path("in.gguf"), path("out.gguf"), "Q4_K_X"},
                 "there is no recipe \"Q4_K_X\"; expected one of F32, F16, BF16, Q4_0");
  expect_refused({path("missing.gguf"), path("out.gguf"), "Q4_0"}, "missing.gguf");
  expect_refused({"--tensor", "ffn", path("in.gguf"), path("out.gguf"), "Q4_0"},
                 "expected PATTERN=FORMAT");
  expect_refused({"--tensor", "nothing=Q8_0", path("in.gguf"), path("out.gguf"), "Q4_0"},
                 "pattern 'nothing' matches no matrix");
  expect_refused({"--imatrix", path("in.gguf"), path("in.gguf"), path("out.gguf"), "Q4_0"},
                 "general.type is not \"imatrix\"");
  expect_refused({path("in.gguf"), path("in.gguf"), "Q4_0"}, "is the input file itself");
  expect_refused({path("in.gguf"), path("no/such/folder/out.gguf"), "Q4_0"}, "no/such/folder");
  expect_refused({"--isa", "neon", path("in.gguf"), path("out.gguf"), "Q4_0"},
                 "expected scalar, avx2 or avx512");
}

// The script starts quantizing in the background, signals it once it is at work, and tells how it
// ended. One thread without vector instructions takes seconds for what is left then.
TEST_F(QuantizeCommand, AnInterruptLeavesNothingBehind) {
  for (const std::string signal : {"INT", "TERM"}) {
    const Outcome outcome =
        run_script("cd " + path("") + "\nrm -f err\n" + kWork +
                   "pid=$!\n"
                   "until grep -q quantizing err || ! kill -0 $pid; do sleep 0.01; done\n"
                   "kill -" +
                   signal + " $pid; wait $pid; echo ended $?; cat err >&2");
    EXPECT_THAT(outcome.out, HasSubstr("ended 130")) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("quern: interrupted; nothing was written"));
    EXPECT_EQ(files(), (std::vector<std::string>{"err", "in.gguf"}));
  }
}

// A file that may not grow further fails as a full disk does: in the middle of writing.
TEST_F(QuantizeCommand, AWriteThatFailsLeavesNothingBehind) {
  const Outcome outcome =
      run_script("cd " + path("") + " && ulimit -f 100 && $QUERN quantize in.gguf out.gguf Q8_0");
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("quern: out.gguf: cannot write: File too large: check the "
                                     "folder, its permissions and the free space"));
  EXPECT_EQ(files(), std::vector<std::string>{"in.gguf"});
}

// A disk of 64 KiB; only where this user may mount one.
TEST_F(QuantizeCommand, ADiskThatIsTooSmallIsFoundBeforeTheWork) {
  const Outcome outcome =
      run_script("cd " + path("") +
                 " && mkdir small && PATH=$PATH:/usr/sbin:/sbin\n"
                 "mount -t tmpfs -o size=64k quern-test small 2>/dev/null || exit 77\n"
                 "$QUERN quantize in.gguf small/out.gguf Q8_0; code=$?\n"
                 "ls -A small; umount small; exit $code");
  if (outcome.exit_code == 77) GTEST_SKIP() << "skipped: mounting needs root";
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("quern: small/out.gguf: needs "));
  EXPECT_THAT(outcome.err, HasSubstr("bytes and the disk has 65536 left: free some"));
  EXPECT_EQ(outcome.out, "");
}

TEST_F(QuantizeCommand, QuantizedInputNeedsConsent) {
  ASSERT_EQ(run_quern({"quantize", path("in.gguf"), path("q8.gguf"), "Q8_0"}).exit_code, 0);
  expect_refused({path("q8.gguf"), path("out.gguf"), "Q4_0"}, "--allow-requantize");
  const Outcome allowed =
      run_quern({"quantize", "--allow-requantize", path("q8.gguf"), path("out.gguf"), "Q4_0"});
  EXPECT_EQ(allowed.exit_code, 0);
  EXPECT_THAT(allowed.err, HasSubstr("note: "));
  EXPECT_THAT(allowed.err, HasSubstr("errors stay"));
}

}  // namespace
}  // namespace quern::testing
