// Models that are wrong in one place: each tensor missing, misshapen in each dimension, or stored
// in a format that its role cannot use. Always an error that names the place, never a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "models/arch/arch_spec.h"
#include "models/loader/model.h"
#include "tests/support/plain_backend.h"
#include "tests/support/tiny_model.h"

namespace quern::loader {
namespace {

using formats::FormatId;
using testing::AllOf;
using testing::HasSubstr;
using tests_support::TensorPlan;
using tests_support::TinyModelOptions;

// As small as the tables allow: these tests build hundreds of models.
TinyModelOptions small(std::string_view architecture) {
  TinyModelOptions options;
  options.architecture = architecture;
  options.n_embedding = 8;
  options.n_heads = 2;
  options.n_kv_heads = 1;
  options.head_dim = 4;
  options.n_feed_forward = 6;
  options.n_expert_feed_forward = 5;
  options.optional_tensors = true;
  options.tied_output = false;
  return options;
}

Result<std::shared_ptr<const Model>> load(const TinyModelOptions& options) {
  static const auto backend = tests_support::create_plain_backend();
  return tests_support::tiny_model(options, *backend);
}

std::vector<TensorPlan> plans_of(TinyModelOptions options) {
  std::vector<TensorPlan> plans;
  options.edit_tensors = [&](std::vector<TensorPlan>& all) { plans = all; };
  EXPECT_TRUE(tests_support::tiny_model_bytes(options).ok());
  return plans;
}

// Whether the architecture can do without this tensor.
bool is_required(std::string_view architecture, const std::string& name) {
  for (const arch::TensorRow& row : arch::find_arch(architecture)->tensors) {
    for (int64_t layer = 0; layer < 2; ++layer) {
      if (row.name(layer) == name) return row.presence == arch::Presence::kRequired;
    }
  }
  return false;
}

class MalformedModel : public testing::TestWithParam<std::string> {};

TEST_P(MalformedModel, TheUnspoiltModelLoads) {
  for (const bool optional_tensors : {false, true}) {
    TinyModelOptions options = small(GetParam());
    options.optional_tensors = optional_tensors;
    const auto model = load(options);
    ASSERT_TRUE(model.ok()) << model.error().message();
    EXPECT_TRUE((*model)->facts().unused_tensors.empty());
  }
}

TEST_P(MalformedModel, EachTensorMissing) {
  const TinyModelOptions base = small(GetParam());
  for (const TensorPlan& victim : plans_of(base)) {
    TinyModelOptions options = base;
    options.edit_tensors = [&](std::vector<TensorPlan>& plans) {
      std::erase_if(plans, [&](const TensorPlan& plan) { return plan.name == victim.name; });
    };
    const auto model = load(options);
    const bool pair_broken = victim.name.starts_with("rope_factors_");
    if (!is_required(GetParam(), victim.name) && !pair_broken) {
      EXPECT_TRUE(model.ok()) << victim.name;
      continue;
    }
    ASSERT_FALSE(model.ok()) << victim.name;
    EXPECT_EQ(model.error().kind(), ErrorKind::kInvalidInput);
    EXPECT_THAT(model.error().message(),
                AllOf(HasSubstr("tensor " + victim.name), HasSubstr("missing")));
  }
}

TEST_P(MalformedModel, EachDimensionOneMoreOrLess) {
  const TinyModelOptions base = small(GetParam());
  for (const TensorPlan& victim : plans_of(base)) {
    for (size_t dim = 0; dim < victim.dims.size(); ++dim) {
      for (const int change : {-1, 1}) {
        TinyModelOptions options = base;
        options.edit_tensors = [&](std::vector<TensorPlan>& plans) {
          for (TensorPlan& plan : plans) {
            if (plan.name != victim.name) continue;
            plan.dims[dim] += static_cast<uint64_t>(change);
            // A model of one value per head would ask for a dimension of zero.
            if (plan.dims[dim] == 0) plan.dims[dim] = 2;
          }
        };
        const auto model = load(options);
        ASSERT_FALSE(model.ok()) << victim.name << " dim " << dim << " " << change;
        EXPECT_THAT(model.error().message(),
                    AllOf(HasSubstr("tensor " + victim.name), HasSubstr("has the shape ["),
                          HasSubstr("expected [")));
      }
    }
  }
}

TEST_P(MalformedModel, EachTensorTransposedOrOfAnotherRank) {
  const TinyModelOptions base = small(GetParam());
  for (const TensorPlan& victim : plans_of(base)) {
    const auto with_dims = [&](std::vector<uint64_t> dims) {
      TinyModelOptions options = base;
      options.edit_tensors = [&victim, dims](std::vector<TensorPlan>& plans) {
        for (TensorPlan& plan : plans) {
          if (plan.name == victim.name) plan.dims = dims;
        }
      };
      return load(options);
    };
    const bool matrix = victim.dims.size() == 2;
    if (matrix && victim.dims[0] != victim.dims[1]) {
      EXPECT_FALSE(with_dims({victim.dims[1], victim.dims[0]}).ok()) << victim.name;
    }
    EXPECT_FALSE(with_dims({1, victim.dims[0], matrix ? victim.dims[1] : 1}).ok()) << victim.name;
    EXPECT_FALSE(with_dims({victim.dims[0], matrix ? victim.dims[1] : 1, 2}).ok()) << victim.name;
    if (matrix) {
      EXPECT_FALSE(with_dims({victim.dims[0]}).ok()) << victim.name;
    }
  }
}

// Norms and biases must be floats; integers carry no weights at all.
TEST_P(MalformedModel, EachTensorInAFormatItsRoleCannotUse) {
  TinyModelOptions base = tests_support::tiny_options_for(FormatId::kQ8_0);
  base.architecture = GetParam();
  base.format = FormatId::kF32;
  base.n_heads = 2;
  base.n_kv_heads = 2;
  base.head_dim = 64;  // so that halves of heads are whole blocks
  base.n_embedding = 128;
  base.optional_tensors = true;
  for (const TensorPlan& victim : plans_of(base)) {
    for (const FormatId format : {FormatId::kI8, FormatId::kI32, FormatId::kQ8_0, FormatId::kF16}) {
      TinyModelOptions options = base;
      options.edit_tensors = [&](std::vector<TensorPlan>& plans) {
        for (TensorPlan& plan : plans) {
          if (plan.name == victim.name) plan.format = format;
        }
      };
      const auto model = load(options);
      const bool integer = format == FormatId::kI8 || format == FormatId::kI32;
      const bool vector = victim.dims.size() == 1;
      if (!integer && !(vector && format == FormatId::kQ8_0)) {
        EXPECT_TRUE(model.ok()) << victim.name << ": " << model.error().message();
        continue;
      }
      ASSERT_FALSE(model.ok()) << victim.name;
      EXPECT_EQ(model.error().kind(), ErrorKind::kUnsupported);
      EXPECT_THAT(
          model.error().message(),
          AllOf(HasSubstr("tensor " + victim.name),
                HasSubstr("is stored as " + std::string(formats::format_info(format).name))));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Arch, MalformedModel, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const arch::ArchSpec* spec : arch::all_archs())
                             names.emplace_back(spec->name);
                           return names;
                         }()),
                         [](const auto& architecture) { return architecture.param; });

TEST(LoadErrors, UnknownArchitectureNamesTheKnownOnes) {
  TinyModelOptions options = small("llama");
  options.edit_metadata = [](gguf::Metadata& metadata) {
    metadata.set("general.architecture", std::string("mamba9"));
  };
  const auto model = load(options);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(model.error().message(), AllOf(HasSubstr("\"mamba9\""), HasSubstr("llama, qwen2")));
}

TEST(LoadErrors, VocabularySizesThatDisagreeHaveTheirOwnErrors) {
  TinyModelOptions options = small("llama");
  options.edit_metadata = [](gguf::Metadata& metadata) {
    metadata.set("llama.vocab_size", uint32_t{321});
  };
  auto model = load(options);
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.error().message(),
              AllOf(HasSubstr("llama.vocab_size is 321"), HasSubstr("which is 320")));

  options = small("llama");
  options.edit_tensors = [](std::vector<TensorPlan>& plans) {
    for (TensorPlan& plan : plans) {
      if (plan.name == "token_embd.weight") plan.dims[1] = 319;
    }
  };
  model = load(options);
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.error().message(),
              AllOf(HasSubstr("token_embd.weight"), HasSubstr("vocabulary size")));

  options = small("llama");
  options.edit_metadata = [](gguf::Metadata& metadata) {
    metadata.set("tokenizer.ggml.tokens", std::vector<std::string>{});
  };
  EXPECT_FALSE(load(options).ok());
}

// Stacked or split, in a dense model of an architecture with or without experts.
TEST(LoadErrors, ExpertTensorsOfADenseModelAreRefused) {
  for (const char* name : {"blk.0.ffn_gate_exps.weight", "blk.0.ffn_down.3.weight",
                           "blk.1.ffn_gate_inp.weight", "blk.1.ffn_up_shexp.weight"}) {
    for (const auto& [architecture, kind] :
         {std::pair("llama", ErrorKind::kInvalidInput), {"qwen3", ErrorKind::kUnsupported}}) {
      TinyModelOptions options = small(architecture);
      options.edit_tensors = [&](std::vector<TensorPlan>& plans) {
        plans.push_back({.name = name, .dims = {8, 6, 4}});
      };
      const auto model = load(options);
      ASSERT_FALSE(model.ok()) << name;
      EXPECT_EQ(model.error().kind(), kind);
      EXPECT_THAT(model.error().message(), HasSubstr(name));
    }
  }
}

// Biases, scales, shared experts: ignoring one would give another model's answers.
TEST(LoadErrors, ExpertTensorsWithoutAPlaceAreRefused) {
  for (const char* name :
       {"blk.0.ffn_gate_exps.bias", "blk.1.exp_probs_b.bias", "blk.0.ffn_up_shexp.weight",
        "blk.0.ffn_up_exps.scale", "blk.1.ffn_up.0.weight"}) {
    TinyModelOptions options = small("llama");
    options.n_experts = 4;
    options.edit_tensors = [&](std::vector<TensorPlan>& plans) {
      plans.push_back({.name = name, .dims = {4}});
    };
    const auto model = load(options);
    ASSERT_FALSE(model.ok()) << name;
    EXPECT_EQ(model.error().kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(model.error().message(), HasSubstr(std::string("tensor ") + name));
  }
}

TEST(LoadErrors, StacksOfExpertsMustFitTheCounts) {
  TinyModelOptions options = small("llama");
  options.n_experts = 4;
  ASSERT_TRUE(load(options).ok());
  for (const size_t dim : {0, 1, 2}) {
    for (const uint64_t size : {3, 7}) {
      options.edit_tensors = [&](std::vector<TensorPlan>& plans) {
        for (TensorPlan& plan : plans) {
          if (plan.name == "blk.1.ffn_down_exps.weight") plan.dims[dim] = size;
        }
      };
      const auto model = load(options);
      ASSERT_FALSE(model.ok());
      EXPECT_THAT(model.error().message(),
                  AllOf(HasSubstr("blk.1.ffn_down_exps.weight"), HasSubstr("[6, 8, 4]"),
                        HasSubstr("expert_count")));
    }
  }
  options = small("llama");
  options.n_experts = 4;
  for (const auto& [count, used] : {std::pair(4U, 5U), {0U, 2U}, {4U, 0U}, {5U, 2U}, {1025U, 2U}}) {
    options.edit_metadata = [count = count, used = used](gguf::Metadata& metadata) {
      metadata.set("llama.expert_count", count);
      metadata.set("llama.expert_used_count", used);
    };
    const auto model = load(options);
    ASSERT_FALSE(model.ok()) << count << " " << used;
    EXPECT_EQ(model.error().kind(), ErrorKind::kInvalidInput) << count << " " << used;
  }
}

// Old files hold a tensor for each expert. They run, and a missing one is named.
TEST(LoadErrors, SplitExpertsLoadAndMissingOnesAreNamed) {
  TinyModelOptions options = small("llama");
  options.n_experts = 3;
  options.split_experts = true;
  const auto whole = load(options);
  ASSERT_TRUE(whole.ok()) << whole.error().message();
  EXPECT_TRUE((*whole)->facts().unused_tensors.empty());
  for (const char* name : {"blk.0.ffn_up.2.weight", "blk.1.ffn_gate.0.weight"}) {
    options.edit_tensors = [&](std::vector<TensorPlan>& plans) {
      std::erase_if(plans, [&](const TensorPlan& plan) { return plan.name == name; });
    };
    const auto model = load(options);
    ASSERT_FALSE(model.ok());
    EXPECT_THAT(model.error().message(), AllOf(HasSubstr(name), HasSubstr("missing")));
  }
}

TEST(LoadErrors, UnknownTensorsAreListedAndIgnored) {
  TinyModelOptions options = small("qwen3");
  options.edit_tensors = [](std::vector<TensorPlan>& plans) {
    plans.push_back({.name = "blk.0.mystery.weight", .dims = {3}});
  };
  const auto model = load(options);
  ASSERT_TRUE(model.ok()) << model.error().message();
  EXPECT_EQ((*model)->facts().unused_tensors, std::vector<std::string>{"blk.0.mystery.weight"});
}

TEST(LoadErrors, LongRopeWithoutFactorsIsRefused) {
  TinyModelOptions options = small("phi3");
  options.optional_tensors = false;
  options.edit_metadata = [](gguf::Metadata& metadata) {
    metadata.set("phi3.rope.scaling.type", std::string("longrope"));
  };
  const auto model = load(options);
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.error().message(), HasSubstr("rope_factors_long.weight is missing"));
}

}  // namespace
}  // namespace quern::loader
