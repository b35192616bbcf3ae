// Decides what becomes of each tensor of a file that is quantized, before any data is read: which
// format, with which importance weights, and how large the result will be.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "models/convert/importance.h"
#include "models/convert/recipe.h"
#include "models/gguf/reader.h"
#include "models/gguf/writer.h"

namespace quern::convert {

// "PATTERN=FORMAT": tensors whose name holds the pattern get the format. In a pattern * stands for
// anything; one without * may match anywhere in the name.
struct FormatOverride {
  std::string pattern;
  formats::FormatId format{};
};
Result<FormatOverride> parse_override(std::string_view text);
bool pattern_matches(std::string_view pattern, std::string_view name);

struct QuantizeChoices {
  const Recipe* recipe = nullptr;
  std::vector<FormatOverride> overrides;  // the first that matches wins
  std::shared_ptr<const ImportanceFile> importance;
  bool allow_requantize = false;
};

// Why a tensor gets its format.
enum class FormatReason : uint8_t {
  kKept,  // vectors, norms, routers: as they are
  kRecipe,
  kOverride,
  kFallback,  // the blocks of the format that was chosen do not divide its rows
};
std::string_view reason_text(FormatReason reason);

struct PlannedTensor {
  const gguf::TensorInfo* source = nullptr;
  formats::FormatId format{};
  FormatReason reason = FormatReason::kKept;
  const Importance* importance = nullptr;  // null: all columns alike
  uint64_t bytes = 0;

  bool copied() const { return format == source->format; }
};

// What is planned for: a file, or one that is yet to be written and whose tensors have no data.
struct ModelOutline {
  const gguf::Metadata& metadata;
  std::span<const gguf::TensorInfo> tensors;
  uint64_t alignment = 32;

  bool has(std::string_view name) const;
};

struct QuantizePlan {
  std::vector<PlannedTensor> tensors;  // in the order of the file
  gguf::GgufWriter writer;             // header of the result
  uint64_t file_bytes = 0;             // of the result
  uint64_t n_weights = 0;
  // Worth a line to the user.
  std::vector<std::string> notes;
};

// The outline's tensors must outlive the plan. Errors: an architecture without a table, a tensor
// that it requires missing, an override that matches nothing or a format that cannot be written,
// importance for other tensors or of another shape, quantized input without allow_requantize.
Result<QuantizePlan> plan_quantization(const ModelOutline& model, const QuantizeChoices& choices);
Result<QuantizePlan> plan_quantization(const gguf::GgufFile& file, const QuantizeChoices& choices);

}  // namespace quern::convert
