// Texts through small random models: the windows, that each row is the one its position gives, and
// that a reference on disk says what the reference itself says.
#include "models/evaluate/evaluation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <limits>

#include "config/hardware/profile.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/engine/store/scratch_directory.h"
#include "tests/support/sequence_runner.h"
#include "tests/support/tiny_model.h"

namespace quern::evaluate {
namespace {

using ::testing::HasSubstr;

constexpr int32_t kContext = 40;

std::string some_text() {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "the cat " + std::to_string(i * 37) + " and then. ";
  return text;
}

class EvaluationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const hardware::HardwareProfile profile = hardware::probe_hardware();
    auto backend = cpu::create_cpu_backend({.profile = profile, .threads = 2});
    ASSERT_TRUE(backend.ok());
    backend_ = std::move(*backend);
    model_ = load(formats::FormatId::kF32);
    coarse_ = load(formats::FormatId::kQ4_0);
  }

  std::shared_ptr<const loader::Model> load(formats::FormatId format) {
    tests_support::TinyModelOptions options =
        tests_support::tiny_options_for(formats::FormatId::kQ4_0);
    options.format = format;
    auto model = tests_support::tiny_model(options, *backend_);
    EXPECT_TRUE(model.ok()) << model.error().message();
    return model.ok() ? *model : nullptr;
  }

  std::unique_ptr<WindowScorer> scorer(std::shared_ptr<const loader::Model> model,
                                       int32_t max_step_tokens = 16) {
    auto out = WindowScorer::create(*backend_, std::move(model),
                                    {.context = kContext,
                                     .max_step_tokens = max_step_tokens,
                                     .kv_format = ops::KvFormat::kF32});
    EXPECT_TRUE(out.ok());
    return std::move(*out);
  }

  Windows windows() const {
    auto out = Windows::cut(model_->tokenizer(), some_text(), kContext, 0);
    EXPECT_TRUE(out.ok()) << out.error().message();
    return *out;
  }

  DivergenceTable run(WindowScorer& scorer, const EvaluationHooks& hooks) {
    auto table = evaluate(scorer, windows(), pool_, hooks);
    EXPECT_TRUE(table.ok()) << table.error().message();
    return *table;
  }

  std::unique_ptr<backend::Backend> backend_;
  std::shared_ptr<const loader::Model> model_;
  std::shared_ptr<const loader::Model> coarse_;
  ThreadPool pool_{2};
};

TEST_F(EvaluationTest, WindowsLieSideBySideAndBeginWithBos) {
  const Windows cut = windows();
  EXPECT_EQ(cut.count(), cut.n_tokens() / kContext);
  EXPECT_EQ(cut.first_scored(), 20);
  EXPECT_EQ(cut.n_scored(), 19);
  const auto tokens = *model_->tokenizer().encode(some_text(), tokenizer::SpecialParsing::kText);
  const TokenId bos = *model_->tokenizer().special().bos;
  for (int64_t i = 0; i < cut.count(); ++i) {
    const std::vector<TokenId> window = cut.window(i);
    ASSERT_EQ(window.size(), static_cast<size_t>(kContext));
    EXPECT_EQ(window.front(), bos);
    // BOS is also in front of the text, which moves it by one.
    for (size_t k = 1; k < window.size(); ++k) {
      EXPECT_EQ(window[k], tokens[static_cast<size_t>(i) * kContext + k - 1]);
    }
  }
}

TEST_F(EvaluationTest, TooLittleTextSaysHowMuchIsNeeded) {
  const auto refused = Windows::cut(model_->tokenizer(), "the cat", kContext, 0);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("two windows of 40"));
  EXPECT_FALSE(Windows::cut(model_->tokenizer(), some_text(), 4, 0).ok());
  EXPECT_EQ(Windows::cut(model_->tokenizer(), some_text(), kContext, 3)->count(), 3);
}

// Each window again as a sequence of its own, token by token, through other code.
TEST_F(EvaluationTest, RowsAreThoseOfTheirPositions) {
  const auto one = scorer(model_);
  const DivergenceTable table = run(*one, {});
  const Windows cut = windows();
  const auto n_vocab = static_cast<size_t>(one->n_vocab());
  size_t row = 0;
  for (int64_t i = 0; i < cut.count(); ++i) {
    const std::vector<TokenId> window = cut.window(i);
    auto runner = tests_support::SequenceRunner::create(*backend_, model_->weights());
    ASSERT_TRUE(runner.ok());
    std::vector<float> logits;
    ASSERT_TRUE((*runner)->feed(window, 1, logits).ok());
    for (int32_t p = cut.first_scored(); p + 1 < kContext; ++p, ++row) {
      const auto at = static_cast<size_t>(p);
      EXPECT_EQ(table.nll()[row],
                negative_log_likelihood(std::span(logits).subspan(at * n_vocab, n_vocab),
                                        window[at + 1]));
    }
  }
  EXPECT_EQ(row, static_cast<size_t>(table.size()));
}

TEST_F(EvaluationTest, StepsOfAnySizeGiveTheSameFigures) {
  const auto small = scorer(model_, 3);
  const auto large = scorer(model_, 512);
  const DivergenceTable a = run(*small, {});
  const DivergenceTable b = run(*large, {});
  EXPECT_TRUE(std::ranges::equal(a.nll(), b.nll()));
}

TEST_F(EvaluationTest, AModelDoesNotDivergeFromItself) {
  const auto one = scorer(model_);
  const auto other = scorer(model_);
  const auto reference = reference_model(*other);
  const DivergenceTable table =
      run(*one, {.reference = reference.get(), .keep = nullptr, .progress = {}});
  for (const double kl : table.kl()) EXPECT_EQ(kl, 0);
  EXPECT_EQ(table.same_top().value, 1);
  EXPECT_EQ(table.perplexity_increase().value, 0);
}

TEST_F(EvaluationTest, TheReferenceOnDiskSaysWhatTheReferenceSays) {
  const auto fine = scorer(model_);
  const auto coarse = scorer(coarse_);
  const auto beside = reference_model(*fine);
  const DivergenceTable exact =
      run(*coarse, {.reference = beside.get(), .keep = nullptr, .progress = {}});
  const tests::ScratchDirectory scratch;
  const auto path = std::filesystem::path(scratch.path()) / "fine.ref";
  const ReferenceText about = ReferenceText::of(windows(), fine->n_vocab());
  auto writer = ReferenceWriter::create(path, about);
  ASSERT_TRUE(writer.ok());
  run(*fine, {.reference = nullptr, .keep = writer->get(), .progress = {}});
  ASSERT_TRUE((*writer)->finish().ok());
  auto reader = ReferenceReader::open(path, about);
  ASSERT_TRUE(reader.ok()) << reader.error().message();
  const auto kept = reference_file(std::move(*reader));
  const DivergenceTable close =
      run(*coarse, {.reference = kept.get(), .keep = nullptr, .progress = {}});
  ASSERT_GT(mean_of(exact.kl()).value, 1e-4) << "nothing to compare";
  // Log-probabilities are rounded by at most 2.5e-4 each.
  EXPECT_NEAR(mean_of(close.kl()).value, mean_of(exact.kl()).value, 2.5e-4);
  EXPECT_EQ(close.same_top().value, exact.same_top().value);
  EXPECT_NEAR(mean_of(close.reference_nll()).value, mean_of(exact.reference_nll()).value, 1e-5);
}

// Damaged weights end the evaluation, alone, as reference, and where rows are to be kept.
TEST_F(EvaluationTest, LogitsThatAreNoNumbersAreAnError) {
  auto bytes =
      tests_support::tiny_model_bytes(tests_support::tiny_options_for(formats::FormatId::kQ4_0));
  ASSERT_TRUE(bytes.ok());
  const auto whole = gguf::GgufFile::from_bytes(*bytes, "whole");
  ASSERT_TRUE(whole.ok());
  const auto offset = (*whole)->find_tensor("output_norm.weight")->data.data() - bytes->data();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes->data() + offset, &nan, sizeof(nan));
  auto file = tests_support::open_owned(std::move(*bytes), "damaged");
  ASSERT_TRUE(file.ok());
  const auto damaged = loader::Model::load(*file, *backend_);
  ASSERT_TRUE(damaged.ok()) << damaged.error().message();
  const auto bad = scorer(*damaged);
  const auto good = scorer(model_);
  const auto beside = reference_model(*bad);
  const tests::ScratchDirectory scratch;
  auto writer = ReferenceWriter::create(scratch.path() / "bad.ref",
                                        ReferenceText::of(windows(), bad->n_vocab()));
  ASSERT_TRUE(writer.ok());
  const auto error_of = [&](WindowScorer& one, const EvaluationHooks& hooks) {
    const auto table = evaluate(one, windows(), pool_, hooks);
    return table.ok() ? std::string("none") : table.error().message();
  };
  EXPECT_THAT(error_of(*bad, {}), HasSubstr("window 1 gives logits that are not finite"));
  EXPECT_THAT(error_of(*bad, {.reference = nullptr, .keep = writer->get(), .progress = {}}),
              HasSubstr("not finite"));
  EXPECT_THAT(error_of(*good, {.reference = beside.get(), .keep = nullptr, .progress = {}}),
              HasSubstr("not finite"));
}

TEST_F(EvaluationTest, StopsWhereItIsTold) {
  const auto one = scorer(model_);
  const auto stopped = evaluate(
      *one, windows(), pool_,
      {.reference = nullptr, .keep = nullptr, .progress = [](int64_t done) { return done < 2; }});
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind(), ErrorKind::kCancelled);
}

}  // namespace
}  // namespace quern::evaluate
