// Adapters that are wrong in one place: always an error of one sentence that names the place, never
// a crash and never an adapter that does something else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "models/loader/adapter.h"
#include "models/loader/model.h"
#include "tests/support/plain_backend.h"
#include "tests/support/tiny_adapter.h"
#include "tests/support/tiny_model.h"

namespace quern::loader {
namespace {

using formats::FormatId;
using testing::AllOf;
using testing::HasSubstr;
using tests_support::TensorPlan;
using tests_support::TinyAdapterOptions;
using tests_support::TinyModelOptions;

class AdapterTest : public testing::Test {
 protected:
  static TinyModelOptions small(std::string_view architecture = "llama") {
    TinyModelOptions options;
    options.architecture = architecture;
    options.n_embedding = 8;
    options.n_heads = 2;
    options.n_kv_heads = 1;
    options.head_dim = 4;
    options.n_feed_forward = 6;
    options.n_expert_feed_forward = 5;
    options.tied_output = false;
    return options;
  }

  void SetUp() override { use(small()); }
  void use(const TinyModelOptions& options) {
    const auto model = tests_support::tiny_model(options, *backend_);
    ASSERT_TRUE(model.ok()) << model.error().message();
    model_ = *model;
  }

  Result<std::shared_ptr<const Adapter>> load(const TinyAdapterOptions& options = {}) const {
    return tests_support::tiny_adapter(*model_, options, *backend_);
  }
  std::string error(const TinyAdapterOptions& options) const {
    const auto adapter = load(options);
    if (adapter.ok()) return "it loaded";
    EXPECT_EQ(adapter.error().message().find("tiny-adapter.gguf: "), 0U);
    return adapter.error().message();
  }
  // Of an adapter whose metadata was changed.
  std::string key_error(const std::function<void(gguf::Metadata&)>& edit) const {
    TinyAdapterOptions options;
    options.edit_metadata = edit;
    return error(options);
  }
  // Of one whose tensors were changed.
  std::string tensor_error(const std::function<void(TensorPlan&)>& edit) const {
    TinyAdapterOptions options;
    options.edit_tensors = [&](std::vector<TensorPlan>& plans) {
      for (TensorPlan& plan : plans) edit(plan);
    };
    return error(options);
  }

  std::unique_ptr<backend::Backend> backend_ = tests_support::create_plain_backend();
  std::shared_ptr<const Model> model_;
};

TEST_F(AdapterTest, TheUnspoiltAdapterLoads) {
  const auto adapter = load();
  ASSERT_TRUE(adapter.ok()) << adapter.error().message();
  const AdapterFacts& facts = (*adapter)->facts();
  EXPECT_EQ(facts.name, "tiny adapter");
  EXPECT_EQ(facts.architecture, "llama");
  EXPECT_EQ(facts.n_matrices, 2 * 7 + 1);
  EXPECT_EQ(facts.min_rank, 3);
  EXPECT_EQ(facts.max_rank, 3);
  EXPECT_EQ((*adapter)->weights()->deltas.size(), 15U);
  EXPECT_EQ((*adapter)->weights()->deltas.begin()->second.scale, 2.0F);  // 6 / 3
}

// As in files that say nothing of it: no division by the rank.
TEST_F(AdapterTest, WithoutAlphaTheScaleIsOne) {
  TinyAdapterOptions options;
  options.alpha = 0;
  const auto adapter = load(options);
  ASSERT_TRUE(adapter.ok());
  EXPECT_EQ((*adapter)->weights()->deltas.begin()->second.scale, 1.0F);
}

TEST_F(AdapterTest, AnAlphaThatIsNoNumber) {
  for (const float alpha : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    TinyAdapterOptions options;
    options.alpha = alpha;
    EXPECT_THAT(error(options), HasSubstr("adapter.lora.alpha is no finite number"));
  }
  EXPECT_THAT(
      key_error([](gguf::Metadata& metadata) { metadata.set("adapter.lora.alpha", 1e300); }),
      HasSubstr("adapter.lora.alpha is no finite number"));
  EXPECT_THAT(key_error([](gguf::Metadata& metadata) {
                metadata.set("adapter.lora.alpha", std::string("16"));
              }),
              HasSubstr("adapter.lora.alpha"));
}

TEST_F(AdapterTest, OtherKindsOfFiles) {
  const auto with = [&](std::string_view key, const std::string& value) {
    return key_error([&](gguf::Metadata& metadata) { metadata.set(std::string(key), value); });
  };
  EXPECT_THAT(with("general.type", "model"),
              AllOf(HasSubstr("general.type is \"model\""), HasSubstr("expected \"adapter\"")));
  EXPECT_THAT(with("adapter.type", "ia3"),
              AllOf(HasSubstr("adapter.type is \"ia3\""), HasSubstr("expected \"lora\"")));
  EXPECT_THAT(with("general.architecture", "qwen2"),
              HasSubstr("general.architecture is \"qwen2\", the model's is \"llama\""));
  EXPECT_THAT(key_error([](gguf::Metadata& metadata) {
                metadata.set("adapter.alora.invocation_tokens", std::vector<uint32_t>{1, 2});
              }),
              HasSubstr("adapter.alora.invocation_tokens"));
  // The model's own file.
  const auto model = Adapter::load(*tests_support::tiny_model_file(small()), *model_, *backend_);
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.error().message(), HasSubstr("general.type is missing"));
}

TEST_F(AdapterTest, EachHalfMissing) {
  for (const std::string name : {"blk.0.attn_q.weight", "output.weight", "blk.1.ffn_down.weight"}) {
    for (const std::string half : {".lora_a", ".lora_b"}) {
      TinyAdapterOptions options;
      options.edit_tensors = [&](std::vector<TensorPlan>& plans) {
        std::erase_if(plans, [&](const TensorPlan& plan) { return plan.name == name + half; });
      };
      EXPECT_THAT(error(options), HasSubstr("tensor " + name + half + " is missing"));
    }
  }
}

TEST_F(AdapterTest, EachDimensionOneMoreOrLess) {
  for (const std::string name :
       {"blk.0.attn_q.weight.lora_a", "blk.1.attn_k.weight.lora_b", "blk.0.ffn_down.weight.lora_a",
        "blk.0.ffn_up.weight.lora_b", "output.weight.lora_b"}) {
    for (const size_t dim : {0U, 1U}) {
      for (const int change : {-1, 1}) {
        EXPECT_THAT(tensor_error([&](TensorPlan& plan) {
                      if (plan.name == name) plan.dims[dim] += static_cast<uint64_t>(change);
                    }),
                    AllOf(HasSubstr("tensors "), HasSubstr(name), HasSubstr("do not ")))
            << dim << " " << change;
      }
    }
  }
}

// Halves whose dimensions are the other way round, as in files of an abandoned tool.
TEST_F(AdapterTest, TransposedHalves) {
  EXPECT_THAT(tensor_error([](TensorPlan& plan) { std::swap(plan.dims[0], plan.dims[1]); }),
              HasSubstr("do not "));
}

TEST_F(AdapterTest, RanksOutOfRange) {
  TinyAdapterOptions options;
  options.rank = kMaxAdapterRank + 1;
  EXPECT_THAT(error(options), HasSubstr("has rank 4097; expected at most 4096"));
}

TEST_F(AdapterTest, FormatsThatHoldNoWeights) {
  for (const FormatId format : {FormatId::kI8, FormatId::kI32}) {
    EXPECT_THAT(tensor_error([&](TensorPlan& plan) {
                  if (plan.name == "blk.0.attn_v.weight.lora_b") plan.format = format;
                }),
                HasSubstr("tensor blk.0.attn_v.weight.lora_b is stored as "));
  }
}

TEST_F(AdapterTest, MoreThanTwoDimensions) {
  EXPECT_THAT(tensor_error([](TensorPlan& plan) {
                if (plan.name == "blk.0.attn_v.weight.lora_a") plan.dims.push_back(2);
              }),
              HasSubstr("tensor blk.0.attn_v.weight.lora_a has more than two dimensions"));
}

TEST_F(AdapterTest, TensorsThatAreNoHalves) {
  EXPECT_THAT(tensor_error([](TensorPlan& plan) {
                if (plan.name == "blk.0.attn_v.weight.lora_a") plan.name = "blk.0.attn_norm.weight";
              }),
              HasSubstr("tensor blk.0.attn_norm.weight is no half of a low-rank matrix"));
}

TEST_F(AdapterTest, MatricesThatTheModelDoesNotHaveOrCannotAdapt) {
  const auto renamed = [&](const std::string& from, const std::string& to) {
    return tensor_error([&](TensorPlan& plan) {
      if (plan.name.starts_with(from)) plan.name = to + plan.name.substr(from.size());
    });
  };
  EXPECT_THAT(renamed("blk.1.attn_v.", "blk.7.attn_v."),
              HasSubstr("the adapter changes tensor blk.7.attn_v.weight, which the model does not "
                        "have"));
  EXPECT_THAT(renamed("output.", "token_embd."),
              AllOf(HasSubstr("the adapter changes tensor token_embd.weight"),
                    HasSubstr("merge it into the model")));
  EXPECT_THAT(renamed("blk.0.attn_v.", "blk.0.attn_norm."),
              HasSubstr("the adapter changes tensor blk.0.attn_norm.weight, but only"));
}

TEST_F(AdapterTest, AnAdapterWithoutTensors) {
  TinyAdapterOptions options;
  options.edit_tensors = [](std::vector<TensorPlan>& plans) { plans.clear(); };
  EXPECT_THAT(error(options), HasSubstr("the adapter has no tensors"));
}

// Experts run as the model has them; the attention beside them can be adapted.
TEST_F(AdapterTest, OnModelsWithExperts) {
  use(small("qwen3moe"));
  EXPECT_TRUE(load().ok());
  EXPECT_THAT(tensor_error([](TensorPlan& plan) {
                const std::string from = "blk.0.attn_q.weight";
                if (plan.name.starts_with(from)) {
                  plan.name = "blk.0.ffn_gate_inp.weight" + plan.name.substr(from.size());
                }
              }),
              HasSubstr("the adapter changes tensor blk.0.ffn_gate_inp.weight, but only"));
}

TEST_F(AdapterTest, OfAnotherModel) {
  const auto bytes = tests_support::tiny_adapter_bytes(model_->file(), {});
  ASSERT_TRUE(bytes.ok());
  TinyModelOptions wider = small();
  wider.n_feed_forward = 10;
  use(wider);
  const auto adapter =
      Adapter::load(*tests_support::open_owned(*bytes, "old.gguf"), *model_, *backend_);
  ASSERT_FALSE(adapter.ok());
  EXPECT_THAT(adapter.error().message(),
              AllOf(HasSubstr("old.gguf: "), HasSubstr("do not fit the model's blk.0.ffn_down"),
                    HasSubstr("made for another model")));
}

// Every byte of a header turned over: an error or an adapter, nothing else. (The sanitizers watch.)
TEST_F(AdapterTest, EveryByteOfTheHeader) {
  const auto whole = tests_support::tiny_adapter_bytes(model_->file(), {});
  ASSERT_TRUE(whole.ok());
  const auto file = tests_support::open_owned(*whole, "whole");
  const auto header = static_cast<size_t>((*file)->tensors().front().data.data() -
                                          (*file)->contents().front().data());
  for (size_t at = 0; at < header; ++at) {
    std::vector<std::byte> bytes = *whole;
    bytes[at] ^= std::byte{0x41};
    const auto broken = tests_support::open_owned(std::move(bytes), "broken");
    if (broken.ok()) (void)Adapter::load(*broken, *model_, *backend_).ok();
  }
}

}  // namespace
}  // namespace quern::loader
