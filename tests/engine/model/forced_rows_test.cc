// The published story with every kernel row forced by name, and a model file that is cut short
// while it is served.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "config/hardware/profile.h"
#include "engine/run/engine.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_rows.h"
#include "models/loader/embedded_model.h"

namespace quern::engine {
namespace {

std::string published_story() {
  std::ifstream in(QUERN_SOURCE_DIR "/tests/golden/demo/expected_greedy.txt", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// Text and end of one greedy answer from nothing but BOS.
struct Answer {
  std::string text;
  Event end;
};

Answer answer_of(Engine& engine, int64_t max_tokens) {
  Request request;
  request.prompt = {*engine.model().tokenizer().special().bos};
  request.sampling.temperature = 0;
  request.max_tokens = max_tokens;
  Answer answer;
  auto stream = engine.submit(request);
  if (!stream.ok()) {
    answer.end.kind = Event::Kind::kFailed;
    answer.end.error = stream.error();
    return answer;
  }
  while (true) {
    auto event = (*stream)->next(std::chrono::milliseconds(100));
    if (!event) continue;
    if (event->kind != Event::Kind::kText) {
      answer.end = std::move(*event);
      return answer;
    }
    answer.text += event->text;
  }
}

class ForcedRow : public testing::TestWithParam<std::string> {};

TEST_P(ForcedRow, TellsThePublishedStory) {
  ASSERT_FALSE(loader::embedded_model("stories260k").empty());
  const hardware::HardwareProfile profile = hardware::probe_hardware();
  const std::string forced[] = {GetParam()};
  auto backend = cpu::create_cpu_backend({.profile = profile, .threads = 2, .forced_rows = forced});
  ASSERT_TRUE(backend.ok()) << backend.error().message();
  auto file = gguf::GgufFile::from_bytes(loader::embedded_model("stories260k"), "demo");
  auto model = loader::Model::load(*file, **backend);
  ASSERT_TRUE(model.ok()) << model.error().message();
  const std::string row = GetParam().substr(GetParam().find('=') + 1);
  EXPECT_THAT((*backend)->explain(), testing::Contains(testing::HasSubstr(row)));
  auto engine = Engine::create(*model, **backend, {});
  ASSERT_TRUE(engine.ok()) << engine.error().message();
  EXPECT_EQ(answer_of(**engine, 256).text, published_story());
}

// "op=row" for every row that this machine can run and that the demo model's F32 weights can use.
std::vector<std::string> rows_of_this_machine() {
  static constexpr std::string_view kOpNames[] = {
#define QUERN_OP(id, name) name,
#include "kernels/ops/op_list.inc"
#undef QUERN_OP
  };
  const hardware::IsaMask isa = hardware::probe_hardware().cpu.isa;
  std::vector<std::string> names;
  for (const dispatch::KernelRow& row : cpu::cpu_rows()) {
    if (!isa.contains(row.needs)) continue;
    if (row.format && *row.format != formats::FormatId::kF32) continue;
    names.push_back(std::string(kOpNames[static_cast<size_t>(row.op)]) + "=" +
                    std::string(row.name));
  }
  return names;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name;
  for (const char c : info.param.substr(info.param.find('=') + 1)) {
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Rows, ForcedRow, testing::ValuesIn(rows_of_this_machine()), test_name);

class LostFile : public testing::Test {
 protected:
  void SetUp() override {
    const auto bytes = loader::embedded_model("stories260k");
    ASSERT_FALSE(bytes.empty());
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("quern-lost-" + std::to_string(getpid()) + ".gguf");
};

TEST_F(LostFile, TruncationWhileServedEndsThatModelsRequestsOnly) {
  const hardware::HardwareProfile profile = hardware::probe_hardware();
  auto backend = cpu::create_cpu_backend({.profile = profile, .threads = 2});
  ASSERT_TRUE(backend.ok());
  auto lost_file = gguf::GgufFile::open(path_);
  ASSERT_TRUE(lost_file.ok()) << lost_file.error().message();
  auto lost_model = loader::Model::load(*lost_file, **backend);
  ASSERT_TRUE(lost_model.ok());
  auto lost = Engine::create(*lost_model, **backend, {});
  ASSERT_TRUE(lost.ok());
  EXPECT_EQ(answer_of(**lost, 256).text, published_story());

  std::filesystem::resize_file(path_, 4096);
  const Answer failed = answer_of(**lost, 256);
  ASSERT_EQ(failed.end.kind, Event::Kind::kFailed);
  EXPECT_EQ(failed.end.error->kind(), ErrorKind::kIo) << failed.end.error->message();
  EXPECT_FALSE((*lost)->submit({}).ok());

  // The process and another model live on.
  auto other_backend = cpu::create_cpu_backend({.profile = profile, .threads = 2});
  auto file = gguf::GgufFile::from_bytes(loader::embedded_model("stories260k"), "demo");
  auto model = loader::Model::load(*file, **other_backend);
  ASSERT_TRUE(model.ok());
  auto engine = Engine::create(*model, **other_backend, {});
  ASSERT_TRUE(engine.ok());
  EXPECT_EQ(answer_of(**engine, 256).text, published_story());
}

}  // namespace
}  // namespace quern::engine
