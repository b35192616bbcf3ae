// Lookups over the list of architectures and the words for roles and dimensions.
#include <algorithm>
#include <iterator>

#include "models/arch/arch_spec.h"

namespace quern::arch {

#define QUERN_ARCH(constant) extern const ArchSpec constant;
#include "models/arch/arch_list.inc"
#undef QUERN_ARCH

namespace {

constinit const ArchSpec* const kArchs[] = {
#define QUERN_ARCH(constant) &constant,
#include "models/arch/arch_list.inc"
#undef QUERN_ARCH
};

constexpr std::string_view kRoleTexts[] = {
#define QUERN_ROLE(id, text) text,
#include "models/arch/tensor_role.inc"
#undef QUERN_ROLE
};

// The text with the number in place of its first {}, if it has one.
std::string fill_hole(std::string_view text, int64_t number) {
  const size_t hole = text.find("{}");
  if (hole == std::string_view::npos) return std::string(text);
  std::string filled(text.substr(0, hole));
  filled += std::to_string(number);
  filled += text.substr(hole + 2);
  return filled;
}

}  // namespace

std::span<const ArchSpec* const> all_archs() { return kArchs; }

const ArchSpec* find_arch(std::string_view name) {
  for (const ArchSpec* spec : kArchs) {
    if (spec->name == name) return spec;
  }
  return nullptr;
}

std::string arch_names() {
  std::string text;
  for (const ArchSpec* spec : kArchs) {
    if (!text.empty()) text += ", ";
    text += spec->name;
  }
  return text;
}

std::string_view role_text(TensorRole role) { return kRoleTexts[static_cast<size_t>(role)]; }

int64_t dim_value(Dim dim, const HyperParams& hyper) {
  switch (dim) {
    case Dim::kNone:
      return 1;
    case Dim::kEmbedding:
      return hyper.n_embedding;
    case Dim::kVocab:
      return hyper.n_vocab;
    case Dim::kQuery:
      return hyper.query_width();
    case Dim::kKeyValue:
      return hyper.kv_width();
    case Dim::kQkv:
      return hyper.query_width() + 2 * hyper.kv_width();
    case Dim::kHeadDim:
      return hyper.head_dim;
    case Dim::kHalfRotary:
      return hyper.n_rot / 2;
    case Dim::kFeedForward:
      return hyper.n_feed_forward;
    case Dim::kGateUp:
      return 2 * hyper.n_feed_forward;
    case Dim::kExperts:
      return hyper.n_experts;
    case Dim::kExpertFeedForward:
      return hyper.n_expert_feed_forward;
    case Dim::kSharedFeedForward:
      return hyper.n_shared_feed_forward;
  }
  return 0;
}

std::string_view dim_text(Dim dim) {
  switch (dim) {
    case Dim::kNone:
      return "1";
    case Dim::kEmbedding:
      return "embedding_length";
    case Dim::kVocab:
      return "vocabulary size";
    case Dim::kQuery:
      return "head_count * head size";
    case Dim::kKeyValue:
      return "head_count_kv * head size";
    case Dim::kQkv:
      return "(head_count + 2 * head_count_kv) * head size";
    case Dim::kHeadDim:
      return "head size";
    case Dim::kHalfRotary:
      return "rope.dimension_count / 2";
    case Dim::kFeedForward:
      return "feed_forward_length";
    case Dim::kGateUp:
      return "2 * feed_forward_length";
    case Dim::kExperts:
      return "expert_count";
    case Dim::kExpertFeedForward:
      return "expert_feed_forward_length";
    case Dim::kSharedFeedForward:
      return "expert_shared_feed_forward_length";
  }
  return "";
}

std::string TensorRow::name(int64_t layer) const { return fill_hole(pattern, layer); }

std::string TensorRow::split_name(int64_t layer, int64_t expert) const {
  return fill_hole(fill_hole(split_pattern, layer), expert);
}

bool ArchSpec::uses(Dim dim) const {
  return std::any_of(tensors.begin(), tensors.end(), [&](const TensorRow& row) {
    return row.cols == dim || row.rows == dim || row.depth() == dim;
  });
}

}  // namespace quern::arch
