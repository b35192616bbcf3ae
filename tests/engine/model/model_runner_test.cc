// Pages as memory, on the demo model: copies and restored bytes are as good as what was computed,
// and what an earlier owner left in a page is never read.
#include "engine/run/model_runner.h"

#include <gtest/gtest.h>

#include <cstring>

#include "config/hardware/profile.h"
#include "kernels/cpu/cpu_backend.h"
#include "models/loader/embedded_model.h"

namespace quern::engine {
namespace {

class ModelRunnerTest : public testing::TestWithParam<ops::KvFormat> {
 protected:
  static constexpr int32_t kPages = 12;

  void SetUp() override {
    if (loader::embedded_model("stories260k").empty()) {
      GTEST_SKIP() << "built without the demo model";
    }
    auto backend = cpu::create_cpu_backend({.profile = hardware::probe_hardware(), .threads = 2});
    ASSERT_TRUE(backend.ok()) << backend.error().message();
    backend_ = std::move(*backend);
    auto file = gguf::GgufFile::from_bytes(loader::embedded_model("stories260k"), "demo");
    ASSERT_TRUE(file.ok());
    auto model = loader::Model::load(*file, *backend_);
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
    auto runner = ModelRunner::create(model_, *backend_, {GetParam(), kPages, 128, 4});
    ASSERT_TRUE(runner.ok()) << runner.error().message();
    runner_ = std::move(*runner);
    for (int i = 0; i < 100; ++i) tokens_.push_back(1 + (i * 37) % 400);
  }

  // Logits of the last of tokens [first, end), whose pages are given.
  std::vector<float> run(int32_t first, int32_t end, const std::vector<int32_t>& pages) {
    const ops::SequenceSlice slice{0, end - first, first, pages};
    const std::vector<int32_t> outputs = {end - first - 1};
    const auto part = std::span<const int32_t>(tokens_).subspan(static_cast<size_t>(first),
                                                                static_cast<size_t>(end - first));
    std::vector<float> logits(static_cast<size_t>(model_->facts().n_vocab));
    const Status status = runner_->run({part, {&slice, 1}, outputs}, logits);
    EXPECT_TRUE(status.ok()) << status.error().message();
    return logits;
  }

  static bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  }

  std::unique_ptr<backend::Backend> backend_;
  std::shared_ptr<const loader::Model> model_;
  std::unique_ptr<ModelRunner> runner_;
  std::vector<int32_t> tokens_;
};

TEST_P(ModelRunnerTest, CopiedAndRestoredPagesGiveTheSameBits) {
  run(0, 70, {0, 1, 2});
  runner_->copy_page(0, 6);
  runner_->copy_page(1, 7);
  runner_->copy_page(2, 8);
  std::vector<std::byte> bytes(runner_->page_bytes());
  for (const int32_t page : {0, 1, 2}) {
    runner_->read_page(page, bytes);
    runner_->write_page(page + 9, bytes);
  }
  const auto original = run(70, 75, {0, 1, 2});
  EXPECT_TRUE(same_bits(run(70, 75, {6, 7, 8}), original));
  EXPECT_TRUE(same_bits(run(70, 75, {9, 10, 11}), original));
  EXPECT_TRUE(same_bits(run(70, 75, {0, 7, 11}), original));
  EXPECT_FALSE(same_bits(run(70, 75, {1, 0, 2}), original)) << "the test sees a difference";
}

TEST_P(ModelRunnerTest, WhatAnEarlierOwnerLeftIsNeverRead) {
  const auto clean = run(0, 45, {3, 4});
  const auto clean_next = run(45, 46, {3, 4});
  for (const int fill : {0xFF, 0x7C, 0x7F}) {  // not a number, infinity and large in all precisions
    const std::vector<std::byte> bytes(runner_->page_bytes(), static_cast<std::byte>(fill));
    for (int32_t page = 0; page < kPages; ++page) runner_->write_page(page, bytes);
    EXPECT_TRUE(same_bits(run(0, 45, {3, 4}), clean)) << fill;
    EXPECT_TRUE(same_bits(run(45, 46, {3, 4}), clean_next)) << fill;
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, ModelRunnerTest,
                         testing::Values(ops::KvFormat::kF16, ops::KvFormat::kF32));

}  // namespace
}  // namespace quern::engine
