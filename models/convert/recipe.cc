#include "models/convert/recipe.h"

#include <algorithm>
#include <iterator>

namespace quern::convert {
namespace {

using arch::TensorRole;
using formats::FormatId;

enum class When : uint8_t {
  kAlways,
  kMoreBits,  // first eighth, last eighth, every third layer between
  kFirstEighth,
  kFirstSixteenth,
  kFirstTwo,
  kFirstFour,
  kMiddle,           // neither first nor last eighth
  kSharedKeys,       // four or more query heads share a key head
  kSharedOrExperts,  // that, or four or more experts
  kEightExperts,     // exactly 8 experts, as in Mixtral
  kFewExperts,       // any other number, or none
  kMoreBitsOfEightExperts,
  kPlain,                // no importance weights
  kFirstEighthPlain,     // first eighth, without them
  kFirstEighthWeighted,  // first eighth, with them
  kStack,                // the matrices of all experts in one tensor
  kLargeModel,           // Llama's and Qwen's shape of some 70 B: 80 layers, shared keys
};

struct Rule {
  std::string_view recipe;
  TensorRole role;
  When when;
  FormatId format;
};

constexpr Recipe kRecipes[] = {
#define QUERN_RECIPE(name, number, usual, output, embedding) \
  {name, number, FormatId::usual, FormatId::output, FormatId::embedding},
#include "models/convert/recipe_list.inc"
#undef QUERN_RECIPE
};

constexpr Rule kRules[] = {
#define QUERN_RECIPE_RULE(recipe, role, when, format) \
  {recipe, TensorRole::role, When::when, FormatId::format},
#include "models/convert/recipe_rule.inc"
#undef QUERN_RECIPE_RULE
};

// For rows that are no whole blocks of 256: {format, what takes its place}.
struct Replacement {
  FormatId wanted;
  FormatId instead;
};
constexpr Replacement kReplacements[] = {
    {FormatId::kQ2_K, FormatId::kQ4_0},  {FormatId::kQ3_K, FormatId::kQ4_0},
    {FormatId::kQ4_K, FormatId::kQ5_0},  {FormatId::kQ5_K, FormatId::kQ5_1},
    {FormatId::kQ6_K, FormatId::kQ8_0},  {FormatId::kQ8_K, FormatId::kQ8_0},
    {FormatId::kTQ1_0, FormatId::kQ4_0}, {FormatId::kTQ2_0, FormatId::kQ4_0},
};

bool applies(When when, const TensorPlace& place) {
  const int64_t i = place.layer;
  const int64_t n = place.n_layers;
  switch (when) {
    case When::kAlways:
      return true;
    case When::kMoreBits:
      return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    case When::kFirstEighth:
      return i < n / 8;
    case When::kFirstSixteenth:
      return i < n / 16;
    case When::kFirstTwo:
      return i < 2;
    case When::kFirstFour:
      return i < 4;
    case When::kMiddle:
      return i >= n / 8 && i < 7 * n / 8;
    case When::kSharedKeys:
      return place.n_heads >= 4 * place.n_kv_heads;
    case When::kSharedOrExperts:
      return place.n_heads >= 4 * place.n_kv_heads || place.n_experts >= 4;
    case When::kEightExperts:
      return place.n_experts == 8;
    case When::kFewExperts:
      return place.n_experts != 8;
    case When::kMoreBitsOfEightExperts:
      return place.n_experts == 8 && applies(When::kMoreBits, place);
    case When::kPlain:
      return !place.has_importance;
    case When::kFirstEighthPlain:
      return !place.has_importance && i < n / 8;
    case When::kFirstEighthWeighted:
      return place.has_importance && i < n / 8;
    case When::kStack:
      return place.is_stack;
    case When::kLargeModel:
      return n == 80 && place.n_heads != place.n_kv_heads;
  }
  return false;
}

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return upper(x) == upper(y); });
}

// Roles whose matrices follow the rules of another: a fused matrix holds the values, and experts,
// chosen or shared, are feed-forwards like the plain one.
struct Alike {
  TensorRole role;
  TensorRole plain;
};
constexpr Alike kAlike[] = {
    {TensorRole::kQkv, TensorRole::kValue},       {TensorRole::kExpertGate, TensorRole::kGate},
    {TensorRole::kSharedGate, TensorRole::kGate}, {TensorRole::kExpertUp, TensorRole::kUp},
    {TensorRole::kSharedUp, TensorRole::kUp},     {TensorRole::kExpertDown, TensorRole::kDown},
    {TensorRole::kSharedDown, TensorRole::kDown},
};

TensorRole plain_role(TensorRole role) {
  for (const Alike& alike : kAlike) {
    if (alike.role == role) return alike.plain;
  }
  return role;
}

FormatId chosen(const Recipe& recipe, const TensorPlace& place) {
  const bool embedding = place.role == TensorRole::kTokenEmbedding;
  if (place.role == TensorRole::kOutput || (embedding && place.tied_output)) {
    // Output matrices fall back to Q8_0 whatever their format was to be.
    const bool fits =
        formats::row_bytes(formats::format_info(recipe.output), place.n_cols).has_value();
    return fits ? recipe.output : FormatId::kQ8_0;
  }
  if (embedding) return recipe.embedding;
  // A router is small and decides much: never quantized.
  if (place.role == TensorRole::kRouter) return FormatId::kF32;
  const bool quantized = formats::format_info(recipe.usual).quantized();
  for (const Rule& rule : kRules) {
    const bool named = rule.recipe == recipe.name || (rule.recipe == "*" && quantized);
    if (named && rule.role == plain_role(place.role) && applies(rule.when, place)) {
      return rule.format;
    }
  }
  return recipe.usual;
}

}  // namespace

std::span<const Recipe> all_recipes() { return kRecipes; }

const Recipe* find_recipe(std::string_view name) {
  const auto* found = std::find_if(std::begin(kRecipes), std::end(kRecipes),
                                   [&](const Recipe& r) { return same_name(r.name, name); });
  return found == std::end(kRecipes) ? nullptr : found;
}

std::string recipe_names() {
  std::string text;
  for (const Recipe& recipe : kRecipes) {
    if (!text.empty()) text += ", ";
    text += recipe.name;
  }
  return text;
}

FormatId format_that_fits(FormatId wanted, uint64_t n_cols) {
  const auto fits = [&](FormatId id) {
    return formats::row_bytes(formats::format_info(id), n_cols).has_value();
  };
  if (fits(wanted)) return wanted;
  FormatId instead = FormatId::kIQ4_NL;
  for (const Replacement& row : kReplacements) {
    if (row.wanted == wanted) instead = row.instead;
  }
  return fits(instead) ? instead : FormatId::kF16;
}

FormatId wanted_format(const Recipe& recipe, const TensorPlace& place) {
  return chosen(recipe, place);
}

FormatId recipe_format(const Recipe& recipe, const TensorPlace& place) {
  return format_that_fits(chosen(recipe, place), place.n_cols);
}

}  // namespace quern::convert
