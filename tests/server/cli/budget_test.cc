// `quern serve --budget`: one model of the files that are named, and the start-up summary says
// which.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "process.h"
#include "server_process.h"
#include "tests/engine/store/scratch_directory.h"
#include "tests/server/support/raw_client.h"
#include "tests/support/tiny_model.h"

namespace quern::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Budget : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const tests_support::TinyModelOptions& options) const {
    const auto bytes = tests_support::tiny_model_bytes(options);
    EXPECT_TRUE(bytes.ok());
    const std::string path = (scratch_.path() / name).string();
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes->data()),
              static_cast<std::streamsize>(bytes->size()));
    return path;
  }
  std::string write(const std::string& name, formats::FormatId format,
                    const std::string& architecture = "llama") const {
    tests_support::TinyModelOptions options;
    options.architecture = architecture;
    options.format = format;
    return write(name, options);
  }
  // What a file needs in all, as `fit` says, for one sequence of 64 tokens.
  static uint64_t needed(const std::string& file) {
    const Outcome outcome = run_quern({"fit", "--no-measure", "--files-only", "--json", "-c", "64",
                                       "-p", "1", "--max-step-tokens", "64", file});
    const auto report = parse_json(outcome.out);
    EXPECT_TRUE(report.ok()) << outcome.err;
    return report.ok() ? (*report)["models"][0]["memory"]["total"].get<uint64_t>() : 0;
  }
  std::string log_text() const {
    std::ifstream in(log());
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string log() const { return (scratch_.path() / "log").string(); }

  tests::ScratchDirectory scratch_;
};

TEST_F(Budget, TheBestFileOfADirectoryIsServedAlone) {
  write("a-q4.gguf", formats::FormatId::kQ4_0);
  write("b-q8.gguf", formats::FormatId::kQ8_0);
  const ServerProcess server({"--model-dir", scratch_.path().string(), "--budget", "1GiB"}, log());
  ASSERT_NE(server.port(), 0) << log_text();
  EXPECT_THAT(server.summary(), HasSubstr("budget      Q8_0: most bits per weight"));
  EXPECT_THAT(server.summary(), HasSubstr("b-q8.gguf"));
  EXPECT_THAT(server.summary(), Not(HasSubstr("a-q4.gguf")));
  const auto models = parse_json(tests::get(server.port(), "/v1/models").body);
  ASSERT_TRUE(models.ok());
  EXPECT_EQ((*models)["data"].size(), 1U);
  EXPECT_FALSE(server.ask("Once").is_null());
}

TEST_F(Budget, WhatIsQuantizedIsServedUnderTheModelsName) {
  const std::string file = write("grain.gguf", formats::FormatId::kF32);
  const std::vector<std::string> arguments = {"--model",
                                              file,
                                              "--budget",
                                              std::to_string(needed(file) - 1),
                                              "-c",
                                              "64",
                                              "-p",
                                              "1",
                                              "--max-step-tokens",
                                              "64",
                                              "--cache-dir",
                                              (scratch_.path() / "kept").string()};
  std::string first;
  {
    const ServerProcess server(arguments, log());
    ASSERT_NE(server.port(), 0) << log_text();
    EXPECT_THAT(server.summary(), HasSubstr("to be quantized: "));
    EXPECT_THAT(server.summary(), HasSubstr("quantized now from " + file));
    EXPECT_THAT(server.summary(), HasSubstr("for keys and values"));
    first = server.ask("Once")["choices"][0].dump();
  }
  const ServerProcess again(arguments, log());
  ASSERT_NE(again.port(), 0) << log_text();
  EXPECT_THAT(again.summary(), HasSubstr("quantized earlier from " + file));
  EXPECT_EQ(again.ask("Once")["choices"][0].dump(), first);
}

TEST_F(Budget, FilesOfDifferentModelsAreRefusedByName) {
  const std::string one = write("one.gguf", formats::FormatId::kF32);
  const std::string other = write("other.gguf", formats::FormatId::kQ8_0, "qwen2");
  const ServerProcess server({"--model", one, other, "--budget", "1GiB"}, log());
  EXPECT_EQ(server.port(), 0);
  EXPECT_THAT(log_text(), HasSubstr("one.gguf and "));
  EXPECT_THAT(log_text(), HasSubstr("other.gguf are of different models"));
}

}  // namespace
}  // namespace quern::testing
