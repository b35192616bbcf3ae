// First the list of tensors with their formats, then their data as a stream of generated pieces.
#include "models/convert/synth.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include "config/base/check.h"
#include "config/base/thread_pool.h"
#include "models/arch/arch_spec.h"
#include "models/convert/recipe.h"
#include "models/convert/synth_blocks.h"
#include "models/convert/synth_vocabulary.h"
#include "models/gguf/writer.h"

namespace quern::convert {
namespace {

using arch::TensorRole;
using formats::FormatId;

constexpr SynthShape kShapes[] = {
#define QUERN_SYNTH_SHAPE(...) {__VA_ARGS__},
#include "models/convert/synth_shape.inc"
#undef QUERN_SYNTH_SHAPE
};

// Bytes generated between two writes: enough for every thread to have work, little enough to stay
// out of the way.
constexpr size_t kPieceBytes = size_t{16} << 20;

enum class Content : uint8_t { kMatrix, kNorm, kBias, kRopeDivisors };

struct Tensor {
  std::string name;
  FormatId format = FormatId::kF32;
  std::vector<uint64_t> dims;
  Content content = Content::kMatrix;

  uint64_t n_values() const {
    uint64_t n = 1;
    for (const uint64_t dim : dims) n *= dim;  // shapes are our own and far from 2^64
    return n;
  }
};

struct Plan {
  const SynthShape* shape = nullptr;
  const Recipe* recipe = nullptr;  // null: `format` throughout
  FormatId format{};
  std::vector<Tensor> tensors;
};

arch::HyperParams hyper_of(const SynthShape& shape) {
  arch::HyperParams hyper;
  hyper.n_layers = shape.n_layers;
  hyper.n_embedding = shape.n_embedding;
  hyper.n_feed_forward = shape.n_feed_forward;
  hyper.n_heads = shape.n_heads;
  hyper.n_kv_heads = shape.n_kv_heads;
  hyper.head_dim = shape.head_dim;
  hyper.n_rot = shape.head_dim;
  hyper.n_vocab = shape.n_vocab;
  hyper.n_experts = shape.n_experts;
  hyper.n_experts_used = shape.n_experts_used;
  hyper.n_expert_feed_forward = shape.n_feed_forward;
  return hyper;
}

void set_model_keys(const SynthShape& shape, const Recipe* recipe, std::string_view format,
                    gguf::Metadata& metadata) {
  const std::string prefix = std::string(shape.architecture) + ".";
  const auto set_uint = [&](std::string_view key, int64_t value) {
    metadata.set(prefix + std::string(key), static_cast<uint32_t>(value));
  };
  metadata.set("general.architecture", std::string(shape.architecture));
  metadata.set("general.name",
               std::string(shape.name) + " " + std::string(format) + " with random weights");
  metadata.set("general.quantization_version", uint32_t{2});
  if (recipe != nullptr) metadata.set("general.file_type", recipe->number);
  set_uint("vocab_size", shape.n_vocab);
  set_uint("context_length", shape.context_length);
  set_uint("embedding_length", shape.n_embedding);
  set_uint("block_count", shape.n_layers);
  set_uint("feed_forward_length", shape.n_feed_forward);
  set_uint("attention.head_count", shape.n_heads);
  set_uint("attention.head_count_kv", shape.n_kv_heads);
  set_uint("rope.dimension_count", shape.head_dim);
  metadata.set(prefix + "attention.layer_norm_rms_epsilon", 1e-5F);
  metadata.set(prefix + "rope.freq_base", shape.rope_base);
  if (shape.n_experts > 0) {
    set_uint("expert_count", shape.n_experts);
    set_uint("expert_used_count", shape.n_experts_used);
  }
}

Content content_of(const arch::TensorRow& row) {
  if (!row.is_vector()) return Content::kMatrix;
  if (row.role == TensorRole::kRopeFactors) return Content::kRopeDivisors;
  return row.pattern.ends_with(".bias") ? Content::kBias : Content::kNorm;
}

bool is_written(const arch::TensorRow& row, const SynthShape& shape) {
  if (row.role == TensorRole::kRopeFactors) return shape.rope_stretch > 0;
  if (row.presence == arch::Presence::kTied) return !shape.tied_output;
  return row.presence == arch::Presence::kRequired;
}

FormatId matrix_format(const Plan& plan, TensorRole role, int64_t layer, uint64_t n_cols) {
  if (role == TensorRole::kRouter) return FormatId::kF32;  // in every published file
  if (plan.recipe == nullptr) return format_that_fits(plan.format, n_cols);
  const SynthShape& shape = *plan.shape;
  return recipe_format(*plan.recipe, {.role = role,
                                      .layer = layer,
                                      .n_cols = n_cols,
                                      .n_layers = shape.n_layers,
                                      .n_heads = shape.n_heads,
                                      .n_kv_heads = shape.n_kv_heads,
                                      .n_experts = shape.n_experts,
                                      .tied_output = shape.tied_output});
}

Tensor tensor_of(const Plan& plan, const arch::TensorRow& row, const arch::HyperParams& hyper,
                 int64_t layer) {
  Tensor tensor;
  tensor.name = row.name(layer);
  tensor.content = content_of(row);
  tensor.dims = {static_cast<uint64_t>(arch::dim_value(row.cols, hyper))};
  if (row.is_vector()) return tensor;
  tensor.dims.push_back(static_cast<uint64_t>(arch::dim_value(row.rows, hyper)));
  tensor.format = matrix_format(plan, row.role, layer, tensor.dims[0]);
  if (row.is_stack()) {
    tensor.dims.push_back(static_cast<uint64_t>(arch::dim_value(row.depth(), hyper)));
  }
  return tensor;
}

// Tensors of the whole model first, then layer by layer, each in the order of the table.
void list_tensors(Plan& plan) {
  const arch::ArchSpec* spec = arch::find_arch(plan.shape->architecture);
  CHECK(spec != nullptr);
  const arch::HyperParams hyper = hyper_of(*plan.shape);
  for (int64_t layer = -1; layer < hyper.n_layers; ++layer) {
    for (const arch::TensorRow& row : spec->tensors) {
      if (row.per_layer() != (layer >= 0) || !row.applies(hyper)) continue;
      if (is_written(row, *plan.shape)) plan.tensors.push_back(tensor_of(plan, row, hyper, layer));
    }
  }
}

Result<Plan> make_plan(const SynthOptions& options) {
  Plan plan;
  const auto* shape = std::find_if(std::begin(kShapes), std::end(kShapes),
                                   [&](const SynthShape& s) { return s.name == options.shape; });
  if (shape == std::end(kShapes)) {
    return Error(ErrorKind::kInvalidInput, "there is no shape \"" + options.shape +
                                               "\"; expected one of " + synth_shape_names());
  }
  plan.shape = shape;
  if (!options.pure) plan.recipe = find_recipe(options.format);
  if (plan.recipe == nullptr) {
    const formats::FormatInfo* format = formats::find_format_by_name(options.format);
    if (format == nullptr) {
      return Error(ErrorKind::kInvalidInput,
                   "there is no format \"" + options.format +
                       "\"; expected a tensor format such as Q4_K, or a recipe: " + recipe_names());
    }
    if (format->decode_row == nullptr) {
      return Error(ErrorKind::kInvalidInput, "format " + std::string(format->name) +
                                                 " stores integers; expected one for weights, "
                                                 "such as Q4_K, F16 or Q4_K_M");
    }
    plan.format = format->id;
  }
  list_tensors(plan);
  return plan;
}

// Llama 3's frequency scaling as divisors of the rotary frequencies: none where a turn takes less
// than a quarter of the original context, the whole factor where it takes more than all of it, a
// blend between. Source: Llama 3.1's published configuration ("rope_type": "llama3").
float rope_divisor(const SynthShape& shape, uint64_t i) {
  constexpr double kOriginalContext = 8192;
  constexpr double kLow = 1;
  constexpr double kHigh = 4;
  constexpr double kTwoPi = 6.283185307179586;
  const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(shape.head_dim);
  const double wavelength = kTwoPi * std::pow(static_cast<double>(shape.rope_base), exponent);
  const double turns = kOriginalContext / wavelength;
  const double factor = static_cast<double>(shape.rope_stretch);
  const double share = std::clamp((turns - kLow) / (kHigh - kLow), 0.0, 1.0);
  return static_cast<float>(1.0 / ((1.0 - share) / factor + share));
}

std::vector<float> vector_values(const SynthShape& shape, const Tensor& tensor, uint64_t key) {
  std::vector<float> values(tensor.dims[0]);
  for (uint64_t i = 0; i < values.size(); ++i) {
    const float noise = normal_value(key, i);
    switch (tensor.content) {
      case Content::kNorm:
        values[i] = 1.0F + 0.05F * noise;
        break;
      case Content::kBias:
        values[i] = 0.02F * noise;
        break;
      case Content::kRopeDivisors:
        values[i] = rope_divisor(shape, i);
        break;
      case Content::kMatrix:
        break;  // never a vector
    }
  }
  return values;
}

class Generator {
 public:
  Generator(const Plan& plan, const SynthOptions& options, gguf::GgufOutput& output)
      : plan_(plan), options_(options), output_(output), pool_(std::max(options.threads, 1)) {}

  Status run(uint64_t total_bytes) {
    for (size_t i = 0; i < plan_.tensors.size(); ++i) {
      const Tensor& tensor = plan_.tensors[i];
      const uint64_t key = mix(mix(options_.seed) + i);
      if (tensor.content == Content::kMatrix) {
        QUERN_RETURN_IF_ERROR(write_matrix(tensor, key, total_bytes));
      } else {
        const std::vector<float> values = vector_values(*plan_.shape, tensor, key);
        const auto bytes = std::as_bytes(std::span(values));
        QUERN_RETURN_IF_ERROR(output_.write(bytes));
        report(bytes.size(), total_bytes);
      }
    }
    return ok_status();
  }

 private:
  Status write_matrix(const Tensor& tensor, uint64_t key, uint64_t total_bytes) {
    const BlockPool& blocks = pool_of(tensor.format);
    const uint64_t n_units = tensor.n_values() / static_cast<uint64_t>(blocks.unit_values());
    const uint64_t per_piece = std::max<uint64_t>(kPieceBytes / blocks.unit_bytes(), 1);
    for (uint64_t first = 0; first < n_units; first += per_piece) {
      const uint64_t n = std::min(per_piece, n_units - first);
      buffer_.resize(n * blocks.unit_bytes());
      constexpr int64_t kGrain = 4096;
      pool_.parallel_for(static_cast<int64_t>(n), kGrain, [&](int64_t begin, int64_t end, int) {
        blocks.fill(key, first + static_cast<uint64_t>(begin), static_cast<uint64_t>(end - begin),
                    buffer_.data() + static_cast<uint64_t>(begin) * blocks.unit_bytes());
      });
      QUERN_RETURN_IF_ERROR(output_.write(buffer_));
      report(buffer_.size(), total_bytes);
    }
    return ok_status();
  }

  void report(uint64_t written, uint64_t total_bytes) {
    done_ += written;
    if (options_.progress) options_.progress(done_, total_bytes);
  }

  const BlockPool& pool_of(FormatId id) {
    auto& slot = pools_[id];
    if (slot == nullptr) {
      slot = std::make_unique<BlockPool>(formats::format_info(id), mix(~options_.seed));
    }
    return *slot;
  }

  const Plan& plan_;
  const SynthOptions& options_;
  gguf::GgufOutput& output_;
  ThreadPool pool_;
  std::map<FormatId, std::unique_ptr<BlockPool>> pools_;
  std::vector<std::byte> buffer_;
  uint64_t done_ = 0;
};

Result<SynthReport> add_tensors(const Plan& plan, gguf::GgufWriter& writer) {
  SynthReport report;
  report.name = plan.shape->name;
  report.n_tensors = plan.tensors.size();
  for (const Tensor& tensor : plan.tensors) {
    QUERN_RETURN_IF_ERROR(writer.add_tensor(tensor.name, tensor.format, tensor.dims));
    report.n_parameters += tensor.n_values();
    const auto bytes = formats::row_bytes(formats::format_info(tensor.format), tensor.n_values());
    CHECK(bytes.has_value());
    report.tensor_bytes += *bytes;
  }
  return report;
}

// `create` starts the output once the header is complete.
Result<SynthReport> write_model(
    const SynthOptions& options,
    const std::function<Result<std::unique_ptr<gguf::GgufOutput>>(const gguf::GgufWriter&)>&
        create) {
  QUERN_ASSIGN_OR_RETURN(const Plan plan, make_plan(options));
  gguf::GgufWriter writer;
  const std::string_view format =
      plan.recipe != nullptr ? plan.recipe->name : formats::format_info(plan.format).name;
  set_model_keys(*plan.shape, plan.recipe, format, writer.metadata());
  set_synthetic_vocabulary(plan.shape->n_vocab, writer.metadata());
  QUERN_ASSIGN_OR_RETURN(const SynthReport report, add_tensors(plan, writer));
  QUERN_ASSIGN_OR_RETURN(const auto output, create(writer));
  QUERN_RETURN_IF_ERROR(Generator(plan, options, *output).run(report.tensor_bytes));
  QUERN_RETURN_IF_ERROR(output->finish());
  return report;
}

}  // namespace

std::span<const SynthShape> synth_shapes() { return kShapes; }

std::string synth_shape_names() {
  std::string text;
  for (const SynthShape& shape : kShapes) {
    if (!text.empty()) text += ", ";
    text += shape.name;
  }
  return text;
}

Result<SynthReport> write_synthetic_model(const SynthOptions& options,
                                          const std::filesystem::path& path) {
  return write_model(options, [&](const gguf::GgufWriter& writer) { return writer.create(path); });
}

Result<std::vector<std::byte>> synthetic_model_bytes(const SynthOptions& options) {
  std::vector<std::byte> bytes;
  QUERN_ASSIGN_OR_RETURN(const SynthReport report, write_model(options, [&](const auto& writer) {
                           return writer.create_in(bytes);
                         }));
  CHECK(report.tensor_bytes <= bytes.size());
  return bytes;
}

}  // namespace quern::convert
