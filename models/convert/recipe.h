// File recipes: which tensor of a model gets which format when the whole file is called "Q4_K_M".
//
// A recipe is not a tensor format (kernels/formats): Q4_0 the recipe stores the output matrix in
// Q6_K. Lists: recipe_list.inc and recipe_rule.inc, with their source. Decides formats only; who
// encodes what is the caller's business.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/formats/format.h"
#include "models/arch/arch_spec.h"

namespace quern::convert {

struct Recipe {
  std::string_view name;
  uint32_t number;  // general.file_type
  formats::FormatId usual;
  formats::FormatId output;
  formats::FormatId embedding;
};

// In the order of the list.
std::span<const Recipe> all_recipes();
// Null when there is no such recipe. Case-insensitive.
const Recipe* find_recipe(std::string_view name);
// "F32, F16, ...": for messages.
std::string recipe_names();

// What the rules look at besides the role.
struct TensorPlace {
  arch::TensorRole role{};
  int64_t layer = 0;
  uint64_t n_cols = 0;  // values in a row
  // The model's.
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t n_experts = 0;
  bool tied_output = false;
  bool has_importance = false;  // quantized with an importance matrix
  bool is_stack = false;        // the tensor holds the matrices of all experts
};

// What the rules ask for, whether or not its blocks divide n_cols.
formats::FormatId wanted_format(const Recipe& recipe, const TensorPlace& place);

// The format of a matrix; one whose blocks divide n_cols.
formats::FormatId recipe_format(const Recipe& recipe, const TensorPlace& place);

// `wanted`, or when its blocks do not divide n_cols the one that takes its place: formats of blocks
// of 32 for those of 256, F16 when that does not fit either.
formats::FormatId format_that_fits(formats::FormatId wanted, uint64_t n_cols);

}  // namespace quern::convert
