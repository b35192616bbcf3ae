// File recipes against what llama.cpp's quantizer decides: tests/golden/recipes.
#include "models/convert/recipe.h"

#include <gtest/gtest.h>

#include <charconv>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "models/convert/synth.h"

namespace quern::convert {
namespace {

using arch::TensorRole;
using formats::FormatId;

const std::map<std::string, TensorRole, std::less<>> kRoles = {
    {"token_embd.weight", TensorRole::kTokenEmbedding},
    {"output.weight", TensorRole::kOutput},
    {"blk.*.attn_q.weight", TensorRole::kQuery},
    {"blk.*.attn_k.weight", TensorRole::kKey},
    {"blk.*.attn_v.weight", TensorRole::kValue},
    {"blk.*.attn_output.weight", TensorRole::kAttentionOutput},
    {"blk.*.ffn_gate.weight", TensorRole::kGate},
    {"blk.*.ffn_up.weight", TensorRole::kUp},
    {"blk.*.ffn_down.weight", TensorRole::kDown},
    {"blk.*.ffn_gate_exps.weight", TensorRole::kExpertGate},
    {"blk.*.ffn_up_exps.weight", TensorRole::kExpertUp},
    {"blk.*.ffn_down_exps.weight", TensorRole::kExpertDown},
};

const SynthShape* find_shape(std::string_view name) {
  for (const SynthShape& shape : synth_shapes()) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

TensorPlace place_of(const SynthShape& shape, TensorRole role, int64_t layer) {
  int64_t n_cols = shape.n_embedding;
  if (role == TensorRole::kDown || role == TensorRole::kExpertDown) n_cols = shape.n_feed_forward;
  if (role == TensorRole::kAttentionOutput) n_cols = shape.n_heads * shape.head_dim;
  return {.role = role,
          .layer = layer,
          .n_cols = static_cast<uint64_t>(n_cols),
          .n_layers = shape.n_layers,
          .n_heads = shape.n_heads,
          .n_kv_heads = shape.n_kv_heads,
          .n_experts = shape.n_experts,
          .tied_output = shape.tied_output};
}

// "Q6_K:0,1,4" of one tensor; a layer of "-" is a tensor of the whole model.
int check_part(const Recipe& recipe, const SynthShape& shape, TensorRole role,
               const std::string& part) {
  int checked = 0;
  const size_t colon = part.find(':');
  std::istringstream layers(part.substr(colon + 1));
  for (std::string text; std::getline(layers, text, ',');) {
    int64_t layer = 0;
    std::from_chars(text.data(), text.data() + text.size(), layer);
    const FormatId id = recipe_format(recipe, place_of(shape, role, layer));
    EXPECT_EQ(formats::format_info(id).name, part.substr(0, colon)) << "layer " << text;
    ++checked;
  }
  return checked;
}

TEST(Recipe, DecidesAsLlamaCppDoes) {
  std::ifstream golden(QUERN_SOURCE_DIR "/tests/golden/recipes/recipes.txt");
  int checked = 0;
  for (std::string line; std::getline(golden, line);) {
    std::istringstream words(line);
    std::string shape_name;
    std::string recipe_name;
    std::string tensor;
    words >> shape_name >> recipe_name >> tensor;
    SCOPED_TRACE(shape_name + ' ' + recipe_name + ' ' + tensor);
    const SynthShape* shape = find_shape(shape_name);
    const Recipe* recipe = find_recipe(recipe_name);
    const auto role = kRoles.find(tensor);
    ASSERT_TRUE(shape != nullptr && recipe != nullptr && role != kRoles.end());
    for (std::string part; words >> part;) {
      checked += check_part(*recipe, *shape, role->second, part);
    }
  }
  EXPECT_GT(checked, 10000);
}

TEST(Recipe, NamesAreFoundInAnyCase) {
  ASSERT_NE(find_recipe("q4_k_m"), nullptr);
  EXPECT_EQ(find_recipe("q4_k_m")->number, 15U);
  EXPECT_EQ(find_recipe("Q4_K_X"), nullptr);
}

TEST(Recipe, NeverQuantizesARouter) {
  const SynthShape* shape = find_shape("tiny-moe");
  ASSERT_NE(shape, nullptr);
  const TensorPlace place = place_of(*shape, TensorRole::kRouter, 1);
  EXPECT_EQ(recipe_format(*find_recipe("Q4_K_M"), place), FormatId::kF32);
  EXPECT_EQ(recipe_format(*find_recipe("IQ2_XXS"), place), FormatId::kF32);
}

TEST(Recipe, FallsBackWhereBlocksDoNotDivideRows) {
  EXPECT_EQ(format_that_fits(FormatId::kQ4_K, 2048), FormatId::kQ4_K);
  EXPECT_EQ(format_that_fits(FormatId::kQ4_K, 896), FormatId::kQ5_0);
  EXPECT_EQ(format_that_fits(FormatId::kQ6_K, 896), FormatId::kQ8_0);
  EXPECT_EQ(format_that_fits(FormatId::kIQ4_XS, 896), FormatId::kIQ4_NL);
  EXPECT_EQ(format_that_fits(FormatId::kQ4_K, 900), FormatId::kF16);
}

}  // namespace
}  // namespace quern::convert
