// The command line as a user sees it: the published text, one-sentence errors, exit codes, help.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/hardware/profile.h"
#include "process.h"

namespace quern::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string published_text() {
  return read_file(QUERN_SOURCE_DIR "/tests/golden/demo/expected_greedy.txt");
}

// A file that is gone when the test is.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& bytes)
      : path_(std::filesystem::temp_directory_path() /
              ("quern-cli-file-" + std::to_string(reinterpret_cast<uintptr_t>(this)))) {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  ~ScratchFile() { std::filesystem::remove(path_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// The weights of the default model are in Q8_0, and PyTorch computes with them in F32.
TEST(Run, TellsByDefaultWhatPyTorchTells) {
  const std::string tale = read_file(QUERN_SOURCE_DIR "/tests/golden/demo/tales5M_greedy.txt");
  ASSERT_FALSE(tale.empty());
  const Outcome outcome = run_quern({"run", "--temperature", "0", "-n", "-1",
                                     "Near a quiet lake, there lived a merry frog named Max."});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, tale);
}

TEST(Run, PrintsThePublishedTextOfStories260K) {
  ASSERT_FALSE(published_text().empty());
  const Outcome outcome = run_quern({"run", "-m", "stories260k", "--temperature", "0", ""});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, published_text());
  EXPECT_EQ(outcome.err, "");
}

// Which instruction sets a cap may name here: scalar, and every vector set that the machine has.
std::vector<std::string> isa_caps() {
  std::vector<std::string> caps = {"scalar"};
  const hardware::IsaMask isa = hardware::probe_hardware().cpu.isa;
  for (const hardware::Isa bit :
       {hardware::Isa::kAvx2, hardware::Isa::kAvxVnni, hardware::Isa::kAvx512,
        hardware::Isa::kAvx512Vnni, hardware::Isa::kNeon, hardware::Isa::kNeonDot}) {
    if (isa.contains(bit)) caps.emplace_back(hardware::isa_name(bit));
  }
  return caps;
}

TEST(Run, SameBytesWithEveryInstructionSetAndThreadCount) {
  for (const std::string& cap : isa_caps()) {
    for (const char* threads : {"1", "2", "3"}) {
      const Outcome outcome = run_quern(
          {"run", "-m", "stories260k", "--temperature", "0", "--isa", cap, "-t", threads, ""});
      EXPECT_EQ(outcome.exit_code, 0) << cap << " with " << threads << " threads";
      EXPECT_EQ(outcome.out, published_text()) << cap << " with " << threads << " threads";
    }
  }
}

TEST(Run, SamePromptChunkingSameBytes) {
  const std::string prompt = "Once upon a time, there was a little girl who liked to play outside";
  for (const char* model : {"stories260k", "tales5m"}) {
    std::string first;
    for (const char* chunk : {"1", "7", "256"}) {
      const Outcome outcome = run_quern({"run", "-m", model, "--temperature", "0.9", "-s", "7",
                                         "-n", "40", "--max-step-tokens", chunk, prompt});
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
      if (first.empty()) first = outcome.out;
      EXPECT_EQ(outcome.out, first) << model << " " << chunk;
    }
    EXPECT_GT(first.size(), 20U) << model;
  }
}

TEST(Run, SpeculationChangesNoByte) {
  const std::string demo = QUERN_SOURCE_DIR "/models/demo/stories260K.gguf";
  const std::vector<std::vector<std::string>> ways = {
      {"--speculative", "off"},
      {"--speculative", "ngram", "--draft-max", "3"},
      {"--speculative", "draft", "--draft-model", demo}};
  for (std::vector<std::string> arguments : ways) {
    arguments.insert(arguments.begin(),
                     {"run", "-m", "stories260k", "--temperature", "0", "--verbose"});
    arguments.emplace_back("");
    const Outcome outcome = run_quern(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, published_text());
    EXPECT_THAT(outcome.err, HasSubstr("\n  speculation "));
  }
}

TEST(Run, TakesEverySampler) {
  const std::vector<std::string> base = {"run", "-m", "stories260k", "-s",
                                         "3",   "-n", "40",          "Once upon a time"};
  const auto text_with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = base;
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_quern(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.out;
  };
  const std::string plain = text_with({});
  const std::vector<std::vector<std::string>> samplers = {
      {"--mirostat", "1", "--mirostat-tau", "3"},
      {"--mirostat", "2", "--mirostat-eta", "0.3"},
      {"--dry-multiplier", "5", "--dry-allowed-length", "0", "--dry-base", "1.2"},
      {"--xtc-probability", "1", "--xtc-threshold", "0.05"},
      {"--top-n-sigma", "0.1"},
      {"--dynatemp-range", "0.8", "--dynatemp-exponent", "3"},
      {"--samplers", "temperature"},
      {"--presence-penalty", "9", "--repeat-last-n=-1"}};
  for (const auto& more : samplers) EXPECT_NE(text_with(more), plain) << more[0];
  EXPECT_EQ(text_with({"--dry-multiplier", "5", "--dry-penalty-last-n", "0"}), plain);
  EXPECT_EQ(text_with({"--presence-penalty", "9", "--repeat-last-n", "0"}), plain);
}

TEST(Run, TakesThePromptFromStandardInput) {
  const Outcome outcome = run_quern({"run", "--temperature", "0", "-n", "5"}, "Lily was");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_FALSE(outcome.out.empty());
}

TEST(Run, ContextOverflowNamesBothCounts) {
  std::string prompt;
  for (int i = 0; i < 600; ++i) prompt += "cat ";
  const Outcome outcome = run_quern({"run", prompt});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("512"));
}

// Every failure: exit code, and one sentence on standard error that starts with the program's name.
void expect_failure(const Outcome& outcome, int exit_code, const std::string& fragment) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, StartsWith("quern: "));
  EXPECT_THAT(outcome.err, HasSubstr(fragment));
}

TEST(Errors, ModelFiles) {
  expect_failure(run_quern({"run", "-m", "/does/not/exist.gguf", "x"}), 1, "/does/not/exist.gguf");
  expect_failure(run_quern({"run", "-m", "/", "x"}), 1, "regular file");
  const ScratchFile empty("");
  expect_failure(run_quern({"run", "-m", empty.path(), "x"}), 1, "empty");
  const ScratchFile foreign("PK\x03\x04 not a model at all, but long enough for a header");
  expect_failure(run_quern({"run", "-m", foreign.path(), "x"}), 1, "GGUF");
  const std::string demo = read_file(QUERN_SOURCE_DIR "/models/demo/stories260K.gguf");
  ASSERT_GT(demo.size(), 100000U);
  const ScratchFile truncated(demo.substr(0, demo.size() / 2));
  expect_failure(run_quern({"run", "-m", truncated.path(), "x"}), 1, "truncated");
}

TEST(Errors, Options) {
  expect_failure(run_quern({"run", "--temperature", "hot", "x"}), 1, "expected a number from 0");
  expect_failure(run_quern({"run", "--isa", "quantum", "x"}), 1, "quantum");
  expect_failure(run_quern({"run", "--kernel", "matmul=matmul.imaginary", "x"}), 1, "imaginary");
  expect_failure(run_quern({"run", "--device", "cuda", "x"}), 1, "CUDA");
  expect_failure(run_quern({"run", "-c", "4096", "x"}), 1, "512");
  expect_failure(run_quern({"run", "x"}, "", {"QUERN_TEMPERATURE=-1"}), 1, "environment");
  expect_failure(run_quern({"run", "--config", "/does/not/exist.toml", "x"}), 1,
                 "/does/not/exist.toml");
}

TEST(Errors, SpeculationOptionsThatContradictEachOther) {
  expect_failure(run_quern({"run", "--speculative", "draft", "x"}), 1, "--draft-model");
  expect_failure(run_quern({"run", "--speculative", "off", "--draft-model", "d.gguf", "x"}), 1,
                 "leave one of them out");
  expect_failure(run_quern({"run", "--draft-model", "/does/not/exist.gguf", "x"}), 1,
                 "/does/not/exist.gguf");
}

TEST(Errors, Usage) {
  expect_failure(run_quern({"run", "--no-such-flag", "x"}), 2, "--no-such-flag");
  expect_failure(run_quern({"dance"}), 2, "dance");
  EXPECT_EQ(run_quern({}).exit_code, 2);
}

TEST(Help, EveryCommandShowsAnExample) {
  const Outcome top = run_quern({"--help"});
  EXPECT_EQ(top.exit_code, 0);
  for (const char* command : {"serve", "run", "hardware", "inspect", "tokenize", "convert"}) {
    EXPECT_THAT(top.out, HasSubstr(command));
    const Outcome help = run_quern({command, "--help"});
    EXPECT_EQ(help.exit_code, 0) << command;
    EXPECT_THAT(help.out, HasSubstr(std::string("quern ") + command)) << command;
    EXPECT_THAT(help.out, HasSubstr("Example")) << command;
  }
  EXPECT_THAT(run_quern({"--version"}).out, StartsWith("quern 0."));
}

TEST(Inspect, ListsTheDemoModel) {
  const std::string demo = QUERN_SOURCE_DIR "/models/demo/stories260K.gguf";
  const Outcome text = run_quern({"inspect", "--tensors", demo});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("llama.context_length = 512"));
  EXPECT_THAT(text.out, HasSubstr("blk.4.ffn_down.weight"));
  const Outcome json = run_quern({"inspect", "--json", demo});
  EXPECT_EQ(json.exit_code, 0) << json.err;
  EXPECT_THAT(json.out, HasSubstr("\"general.architecture\": \"llama\""));
}

TEST(Tokenize, PrintsIdsAndPieces) {
  const Outcome outcome = run_quern({"tokenize", "-m", "stories260k", "--bos", "Once upon a time"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("1\t<s>\n"));
}

TEST(Hardware, ShowsTheMachine) {
  const Outcome text = run_quern({"hardware", "show"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("not measured yet"));
  const Outcome json = run_quern({"hardware", "--json"});
  EXPECT_THAT(json.out, HasSubstr("\"instruction_sets\""));
  expect_failure(run_quern({"hardware", "polish"}), 2, "polish");
}

}  // namespace
}  // namespace quern::testing
