#include "tests/support/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/arch/arch_spec.h"
#include "models/convert/synth_blocks.h"
#include "models/gguf/writer.h"

namespace quern::tests_support {
namespace {

// splitmix64 (Steele, Lea, Flood 2014): small, seedable, the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  // Uniform in [-1, 1).
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-23F - 1.0F; }

 private:
  uint64_t state_;
};

std::string two_digit_hex(int value) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {kDigits[value / 16], kDigits[value % 16]};
}

void write_vocabulary(gguf::Metadata& metadata) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> kinds = {2, 3, 3};  // unknown, control, control
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back("<0x" + two_digit_hex(byte) + ">");
    kinds.push_back(6);  // byte
  }
  std::vector<std::string> words = {"\u2581", "th", "he", "in", "an", "\u2581t", "\u2581a", "the"};
  for (char letter = 'a'; letter <= 'z'; ++letter) words.emplace_back(1, letter);
  for (char letter = 'A'; letter <= 'Z'; ++letter) words.emplace_back(1, letter);
  words.emplace_back(".");
  for (const std::string& word : words) {
    tokens.push_back(word);
    kinds.push_back(1);  // normal
  }
  CHECK(static_cast<int64_t>(tokens.size()) == kTinyVocabSize);
  std::vector<float> scores(tokens.size());
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
  metadata.set("tokenizer.ggml.model", std::string("llama"));
  metadata.set("tokenizer.ggml.tokens", std::move(tokens));
  metadata.set("tokenizer.ggml.scores", std::move(scores));
  metadata.set("tokenizer.ggml.token_type", std::move(kinds));
  metadata.set("tokenizer.ggml.bos_token_id", uint32_t{1});
  metadata.set("tokenizer.ggml.eos_token_id", uint32_t{2});
  metadata.set("tokenizer.ggml.unknown_token_id", uint32_t{0});
}

bool has_key(const arch::ArchSpec& spec, std::string_view key) {
  return std::any_of(spec.hyper_params.begin(), spec.hyper_params.end(),
                     [&](const arch::HyperParamRow& row) { return row.key == key; });
}

int64_t n_experts_of(const arch::ArchSpec& spec, const TinyModelOptions& options) {
  if (options.n_experts > 0 || !spec.uses(arch::Dim::kExperts)) return options.n_experts;
  const bool has_dense_models = spec.uses(arch::Dim::kFeedForward);
  return has_dense_models ? 0 : 5;
}

void write_metadata(const arch::ArchSpec& spec, const TinyModelOptions& options,
                    gguf::Metadata& metadata) {
  const std::string prefix = options.architecture + ".";
  const auto set_uint = [&](std::string_view key, int64_t value) {
    metadata.set(prefix + std::string(key), static_cast<uint32_t>(value));
  };
  metadata.set("general.architecture", options.architecture);
  metadata.set("general.name", "tiny-" + options.architecture);
  set_uint("context_length", options.context_length);
  set_uint("embedding_length", options.n_embedding);
  set_uint("block_count", options.n_layers);
  set_uint("feed_forward_length", options.n_feed_forward);
  if (const int64_t n_experts = n_experts_of(spec, options); n_experts > 0) {
    set_uint("expert_count", n_experts);
    set_uint("expert_used_count", options.n_experts_used);
    if (has_key(spec, "expert_feed_forward_length")) {
      set_uint("expert_feed_forward_length", options.n_expert_feed_forward);
    }
  }
  set_uint("attention.head_count", options.n_heads);
  set_uint("attention.head_count_kv", options.n_kv_heads);
  set_uint("attention.key_length", options.head_dim);
  set_uint("attention.value_length", options.head_dim);
  set_uint("rope.dimension_count", options.head_dim);
  if (options.sliding_window > 0) set_uint("attention.sliding_window", options.sliding_window);
  metadata.set(prefix + "attention.layer_norm_rms_epsilon", 1e-5F);
  metadata.set(prefix + "rope.freq_base", 10000.0F);
  write_vocabulary(metadata);
  if (!options.chat_template.empty()) {
    metadata.set("tokenizer.chat_template", options.chat_template);
  }
}

arch::HyperParams hyper_of(const arch::ArchSpec& spec, const TinyModelOptions& options) {
  arch::HyperParams hyper;
  hyper.n_layers = options.n_layers;
  hyper.n_embedding = options.n_embedding;
  hyper.n_heads = options.n_heads;
  hyper.n_kv_heads = options.n_kv_heads;
  hyper.head_dim = options.head_dim;
  hyper.n_rot = options.head_dim;
  hyper.n_feed_forward = options.n_feed_forward;
  hyper.n_vocab = kTinyVocabSize;
  hyper.n_experts = n_experts_of(spec, options);
  hyper.n_expert_feed_forward = has_key(spec, "expert_feed_forward_length")
                                    ? options.n_expert_feed_forward
                                    : options.n_feed_forward;
  hyper.n_shared_feed_forward = options.n_feed_forward;  // the key is left out
  return hyper;
}

bool is_written(const arch::TensorRow& row, const TinyModelOptions& options) {
  switch (row.presence) {
    case arch::Presence::kRequired:
      return true;
    case arch::Presence::kOptional:
      return options.optional_tensors;
    case arch::Presence::kTied:
      return !options.tied_output;
  }
  return true;
}

// The tensors of one row and layer: several when experts are split.
void plan_row(const arch::TensorRow& row, int64_t layer, const arch::HyperParams& hyper,
              const TinyModelOptions& options, std::vector<TensorPlan>& plans) {
  const bool split = row.is_stack() && options.split_experts;
  for (int64_t part = 0; part < (split ? hyper.n_experts : 1); ++part) {
    TensorPlan plan{.name = split ? row.split_name(layer, part) : row.name(layer),
                    .format = row.is_vector() ? formats::FormatId::kF32 : options.format,
                    .dims = {}};
    for (const arch::Dim dim : {row.cols, row.rows, split ? arch::Dim::kNone : row.depth()}) {
      if (dim == arch::Dim::kNone) continue;
      plan.dims.push_back(static_cast<uint64_t>(arch::dim_value(dim, hyper)));
    }
    plans.push_back(std::move(plan));
  }
}

std::vector<TensorPlan> plan_tensors(const arch::ArchSpec& spec, const TinyModelOptions& options) {
  const arch::HyperParams hyper = hyper_of(spec, options);
  std::vector<TensorPlan> plans;
  for (const arch::TensorRow& row : spec.tensors) {
    if (!is_written(row, options) || !row.applies(hyper)) continue;
    for (int64_t layer = 0; layer < (row.per_layer() ? hyper.n_layers : 1); ++layer) {
      plan_row(row, layer, hyper, options, plans);
    }
  }
  return plans;
}

// Matrices of unit gain; vectors around one, so that they do as norms and as divisors.
std::vector<float> random_values(const TensorPlan& plan, uint64_t n, Random& random) {
  std::vector<float> values(n);
  const bool vector = plan.dims.size() == 1;
  const float gain = std::sqrt(3.0F / static_cast<float>(plan.dims[0]));
  const bool embedding = plan.name == "token_embd.weight";
  for (float& value : values) {
    const float noise = random.uniform();
    value = vector ? 1.0F + 0.2F * noise : (embedding ? noise : noise * gain);
  }
  return values;
}

Result<std::vector<std::byte>> encode(const TensorPlan& plan, bool random_blocks, Random& random) {
  const formats::FormatInfo& format = formats::format_info(plan.format);
  uint64_t n_rows = 1;
  for (size_t i = 1; i < plan.dims.size(); ++i) n_rows *= plan.dims[i];
  const auto row_bytes = formats::row_bytes(format, plan.dims[0]);
  if (!row_bytes) {
    return Error(ErrorKind::kInvalidInput, plan.name + ": rows of " + std::to_string(plan.dims[0]) +
                                               " values are no whole blocks of " +
                                               std::string(format.name) + "; use tiny_options_for");
  }
  std::vector<std::byte> bytes(*row_bytes * n_rows);
  if (random_blocks && format.block_values > 1) {
    const convert::BlockPool pool(format, random.next(), convert::BlockSource::kRandomBytes);
    pool.fill(random.next(), 0, bytes.size() / pool.unit_bytes(), bytes.data());
    return bytes;
  }
  // Integer formats and formats without an encoder: zero bytes, which every format can decode.
  if (format.encode_row == nullptr) return bytes;
  const std::vector<float> values = random_values(plan, plan.dims[0] * n_rows, random);
  for (uint64_t row = 0; row < n_rows; ++row) {
    format.encode_row(values.data() + row * plan.dims[0], bytes.data() + row * *row_bytes,
                      static_cast<int64_t>(plan.dims[0]));
  }
  return bytes;
}

struct OwnedFile {
  std::vector<std::byte> bytes;
  std::shared_ptr<const gguf::GgufFile> file;
};

}  // namespace

TinyModelOptions tiny_options_for(formats::FormatId format) {
  TinyModelOptions options;
  options.format = format;
  const int64_t block = formats::format_info(format).block_values;
  const auto round_up = [&](int64_t value) { return (value + block - 1) / block * block; };
  options.n_embedding = round_up(options.n_embedding);
  options.n_feed_forward = round_up(options.n_feed_forward);
  options.n_expert_feed_forward = round_up(options.n_expert_feed_forward);
  options.head_dim = round_up(options.n_heads * options.head_dim) / options.n_heads;
  return options;
}

Result<std::vector<std::byte>> tiny_model_bytes(const TinyModelOptions& options) {
  const arch::ArchSpec* spec = arch::find_arch(options.architecture);
  if (spec == nullptr) {
    return Error(ErrorKind::kInvalidInput, "no architecture " + options.architecture +
                                               "; expected one of " + arch::arch_names());
  }
  gguf::GgufWriter writer;
  write_metadata(*spec, options, writer.metadata());
  if (options.edit_metadata) options.edit_metadata(writer.metadata());
  std::vector<TensorPlan> plans = plan_tensors(*spec, options);
  if (options.edit_tensors) options.edit_tensors(plans);
  for (const TensorPlan& plan : plans) {
    QUERN_RETURN_IF_ERROR(writer.add_tensor(plan.name, plan.format, plan.dims));
  }
  std::vector<std::byte> out;
  QUERN_ASSIGN_OR_RETURN(auto output, writer.create_in(out));
  Random random(options.seed);
  for (const TensorPlan& plan : plans) {
    QUERN_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes,
                           encode(plan, options.random_blocks, random));
    QUERN_RETURN_IF_ERROR(output->write_tensor(bytes));
  }
  QUERN_RETURN_IF_ERROR(output->finish());
  return out;
}

Result<std::shared_ptr<const gguf::GgufFile>> open_owned(std::vector<std::byte> bytes,
                                                         std::string_view label) {
  auto owned = std::make_shared<OwnedFile>();
  owned->bytes = std::move(bytes);
  QUERN_ASSIGN_OR_RETURN(owned->file, gguf::GgufFile::from_bytes(owned->bytes, label));
  return std::shared_ptr<const gguf::GgufFile>(owned, owned->file.get());
}

Result<std::shared_ptr<const gguf::GgufFile>> tiny_model_file(const TinyModelOptions& options) {
  QUERN_ASSIGN_OR_RETURN(std::vector<std::byte> bytes, tiny_model_bytes(options));
  return open_owned(std::move(bytes), "tiny-" + options.architecture + ".gguf");
}

Result<std::shared_ptr<const loader::Model>> tiny_model(const TinyModelOptions& options,
                                                        backend::Backend& backend) {
  QUERN_ASSIGN_OR_RETURN(auto file, tiny_model_file(options));
  return loader::Model::load(std::move(file), backend);
}

}  // namespace quern::tests_support
