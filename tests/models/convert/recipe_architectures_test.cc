// File recipes for several architectures, without and with importance weights, against what
// llama.cpp's quantizer decides: tests/golden/recipes/architectures.txt.
#include <gtest/gtest.h>

#include <charconv>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "models/convert/recipe.h"

namespace quern::convert {
namespace {

using arch::TensorRole;

const std::map<std::string, TensorRole, std::less<>> kRoles = {
    {"token_embd.weight", TensorRole::kTokenEmbedding},
    {"output.weight", TensorRole::kOutput},
    {"blk.*.attn_q.weight", TensorRole::kQuery},
    {"blk.*.attn_k.weight", TensorRole::kKey},
    {"blk.*.attn_v.weight", TensorRole::kValue},
    {"blk.*.attn_qkv.weight", TensorRole::kQkv},
    {"blk.*.attn_output.weight", TensorRole::kAttentionOutput},
    {"blk.*.ffn_gate.weight", TensorRole::kGate},
    {"blk.*.ffn_up.weight", TensorRole::kUp},
    {"blk.*.ffn_down.weight", TensorRole::kDown},
    {"blk.*.ffn_gate_exps.weight", TensorRole::kGate},
    {"blk.*.ffn_up_exps.weight", TensorRole::kUp},
    {"blk.*.ffn_down_exps.weight", TensorRole::kDown},
};

struct Shape {
  int64_t n_layers, n_columns, n_heads, n_kv_heads, head_dim, n_feed_forward, tied, n_experts;
};

TensorPlace place_of(const Shape& shape, TensorRole role, bool has_importance, bool is_stack) {
  int64_t n_cols = shape.n_columns;
  if (role == TensorRole::kDown) n_cols = shape.n_feed_forward;
  if (role == TensorRole::kAttentionOutput) n_cols = shape.n_heads * shape.head_dim;
  return {.role = role,
          .n_cols = static_cast<uint64_t>(n_cols),
          .n_layers = shape.n_layers,
          .n_heads = shape.n_heads,
          .n_kv_heads = shape.n_kv_heads,
          .n_experts = shape.n_experts,
          .tied_output = shape.tied != 0,
          .has_importance = has_importance,
          .is_stack = is_stack};
}

// "Q6_K:0,1,4" of one tensor.
int check_part(const Recipe& recipe, TensorPlace place, const std::string& part) {
  int checked = 0;
  const size_t colon = part.find(':');
  std::istringstream layers(part.substr(colon + 1));
  for (std::string text; std::getline(layers, text, ',');) {
    place.layer = 0;
    std::from_chars(text.data(), text.data() + text.size(), place.layer);
    EXPECT_EQ(formats::format_info(recipe_format(recipe, place)).name, part.substr(0, colon))
        << "layer " << text;
    ++checked;
  }
  return checked;
}

TEST(Recipe, DecidesAsLlamaCppDoesForEachArchitecture) {
  std::ifstream golden(QUERN_SOURCE_DIR "/tests/golden/recipes/architectures.txt");
  std::map<std::string, Shape> shapes;
  int checked = 0;
  for (std::string line; std::getline(golden, line);) {
    SCOPED_TRACE(line.substr(0, 60));
    std::istringstream words(line);
    std::string name;
    std::string recipe_name;
    std::string tensor;
    words >> name;
    if (name == "shape") {
      words >> name;
      Shape& s = shapes[name];
      words >> s.n_layers >> s.n_columns >> s.n_heads >> s.n_kv_heads >> s.head_dim >>
          s.n_feed_forward >> s.tied >> s.n_experts;
      continue;
    }
    words >> recipe_name >> tensor;
    const bool has_importance = recipe_name.ends_with('+');
    if (has_importance) recipe_name.pop_back();
    const Recipe* recipe = find_recipe(recipe_name);
    const auto role = kRoles.find(tensor);
    ASSERT_TRUE(recipe != nullptr && role != kRoles.end() && shapes.contains(name));
    const bool is_stack = tensor.find("_exps") != std::string::npos;
    const TensorPlace place = place_of(shapes[name], role->second, has_importance, is_stack);
    for (std::string part; words >> part;) checked += check_part(*recipe, place, part);
  }
  EXPECT_GT(checked, 50000);
}

}  // namespace
}  // namespace quern::convert
