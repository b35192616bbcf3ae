// Shape and size are settled from the header before any weight is touched; weights then stream from
// the mapping to the output.
#include "models/convert/llama2c.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "config/base/checked.h"
#include "config/base/mapped_file.h"
#include "kernels/formats/format.h"
#include "models/convert/llama2c_tokenizer.h"
#include "models/gguf/cursor.h"
#include "models/gguf/name_rules.h"
#include "models/gguf/writer.h"

namespace quern::convert {
namespace {

struct Shape {
  uint64_t dim = 0;
  uint64_t hidden = 0;
  uint64_t n_layers = 0;
  uint64_t n_heads = 0;
  uint64_t n_kv_heads = 0;
  uint64_t vocab = 0;
  uint64_t context = 0;
  bool tied = true;

  uint64_t head_dim() const { return dim / n_heads; }
  uint64_t kv_dim() const { return head_dim() * n_kv_heads; }
};

// One array of the source: `rows` x `columns` values, once or once per layer.
struct SourceArray {
  const char* name;  // GGUF name; "blk.N." is put in front of a per-layer one; null to skip
  uint64_t columns;
  uint64_t rows;  // 1 for a vector
  bool per_layer;
};

constexpr uint64_t kHeaderInts = 7;

Error bad(const std::string& what) {
  return Error(ErrorKind::kInvalidInput, what + ": this is not a llama2.c model of version 0");
}

// A header field in [1, most].
Result<uint64_t> field(const char* name, int64_t value, uint64_t most) {
  if (value >= 1 && static_cast<uint64_t>(value) <= most) return static_cast<uint64_t>(value);
  return bad("header field " + std::string(name) + " is " + std::to_string(value) +
             ", expected 1 to " + std::to_string(most));
}

Result<Shape> read_shape(gguf::Cursor& cursor) {
  std::array<int64_t, kHeaderInts> ints{};
  for (int64_t& value : ints) {
    QUERN_ASSIGN_OR_RETURN(const int32_t number, cursor.read<int32_t>("header"));
    value = number;
  }
  Shape shape;
  shape.tied = ints[5] > 0;
  QUERN_ASSIGN_OR_RETURN(shape.dim, field("dim", ints[0], 65'536));
  QUERN_ASSIGN_OR_RETURN(shape.hidden, field("hidden_dim", ints[1], 1 << 20));
  QUERN_ASSIGN_OR_RETURN(shape.n_layers, field("n_layers", ints[2], 512));
  QUERN_ASSIGN_OR_RETURN(shape.n_heads, field("n_heads", ints[3], 1024));
  QUERN_ASSIGN_OR_RETURN(shape.n_kv_heads, field("n_kv_heads", ints[4], 1024));
  QUERN_ASSIGN_OR_RETURN(shape.vocab, field("vocab_size", std::abs(ints[5]), 1 << 20));
  QUERN_ASSIGN_OR_RETURN(shape.context, field("seq_len", ints[6], 1 << 24));
  if (shape.dim % shape.n_heads != 0 || shape.n_heads % shape.n_kv_heads != 0 ||
      shape.head_dim() % 2 != 0) {
    return bad("dim " + std::to_string(shape.dim) + ", n_heads " + std::to_string(shape.n_heads) +
               " and n_kv_heads " + std::to_string(shape.n_kv_heads) + " do not fit together");
  }
  return shape;
}

// All arrays in file order.
std::vector<SourceArray> source_arrays(const Shape& s) {
  std::vector<SourceArray> arrays = {
      {"token_embd.weight", s.dim, s.vocab, false}, {"attn_norm.weight", s.dim, 1, true},
      {"attn_q.weight", s.dim, s.dim, true},        {"attn_k.weight", s.dim, s.kv_dim(), true},
      {"attn_v.weight", s.dim, s.kv_dim(), true},   {"attn_output.weight", s.dim, s.dim, true},
      {"ffn_norm.weight", s.dim, 1, true},          {"ffn_gate.weight", s.dim, s.hidden, true},
      {"ffn_down.weight", s.hidden, s.dim, true},   {"ffn_up.weight", s.dim, s.hidden, true},
      {"output_norm.weight", s.dim, 1, false},      {nullptr, s.head_dim(), s.context, false},
  };
  if (!s.tied) arrays.push_back({"output.weight", s.dim, s.vocab, false});
  return arrays;
}

// Where each tensor's bytes lie in the source, in the order in which they were added to `writer`.
Result<std::vector<std::span<const std::byte>>> add_tensors(const Shape& shape,
                                                            std::span<const std::byte> bytes,
                                                            gguf::GgufWriter& writer) {
  std::vector<std::span<const std::byte>> pieces;
  uint64_t at = kHeaderInts * sizeof(int32_t);
  for (const SourceArray& array : source_arrays(shape)) {
    // The header limits keep rows x columns x 4 x layers below 2^20 * 2^20 * 2^2 * 2^9 = 2^51.
    const uint64_t size = array.columns * array.rows * sizeof(float);
    const uint64_t n_layers = array.per_layer ? shape.n_layers : 1;
    if (!range_fits(at, size * n_layers, bytes.size())) {
      return bad("the file has " + std::to_string(bytes.size()) + " bytes, but '" +
                 (array.name == nullptr ? "rope tables" : array.name) + "' ends at byte " +
                 std::to_string(at + size * n_layers) +
                 "; it is truncated (download it again) or its header is wrong");
    }
    for (uint64_t layer = 0; layer < n_layers && array.name != nullptr; ++layer) {
      const std::string name =
          array.per_layer ? "blk." + std::to_string(layer) + "." + array.name : array.name;
      const uint64_t dims[] = {array.columns, array.rows};
      QUERN_RETURN_IF_ERROR(writer.add_tensor(name, formats::FormatId::kF32,
                                              std::span(dims).first(array.rows == 1 ? 1 : 2)));
      pieces.push_back(bytes.subspan(at + layer * size, size));
    }
    at += size * n_layers;
  }
  if (at != bytes.size()) {
    return bad("the file has " + std::to_string(bytes.size()) + " bytes, expected " +
               std::to_string(at));
  }
  return pieces;
}

void set_model_keys(const Shape& shape, const std::string& name, const std::string& license,
                    gguf::Metadata& meta) {
  const auto u32 = [](uint64_t value) { return static_cast<uint32_t>(value); };
  meta.set("general.architecture", std::string("llama"));
  meta.set("general.name", name);
  if (!license.empty()) meta.set("general.license", license);
  meta.set("general.file_type", uint32_t{0});  // all F32
  meta.set("llama.vocab_size", u32(shape.vocab));
  meta.set("llama.context_length", u32(shape.context));
  meta.set("llama.embedding_length", u32(shape.dim));
  meta.set("llama.block_count", u32(shape.n_layers));
  meta.set("llama.feed_forward_length", u32(shape.hidden));
  meta.set("llama.attention.head_count", u32(shape.n_heads));
  meta.set("llama.attention.head_count_kv", u32(shape.n_kv_heads));
  meta.set("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  meta.set("llama.rope.dimension_count", u32(shape.head_dim()));
  meta.set("llama.rope.freq_base", 10000.0f);
}

Result<ConvertReport> convert(const MappedFile& model, const MappedFile& tokenizer,
                              const std::filesystem::path& out_path, const std::string& name,
                              const std::string& license) {
  gguf::Cursor cursor(model.bytes());
  const auto shown = [](const MappedFile& file) { return gguf::printable(file.path(), 4096); };
  auto shape = read_shape(cursor);
  if (!shape.ok()) return shape.error().with_context(shown(model));

  gguf::GgufWriter writer;
  set_model_keys(*shape, name, license, writer.metadata());
  const Status vocab = set_llama2c_vocabulary(tokenizer.bytes(), shape->vocab, writer.metadata());
  if (!vocab.ok()) return vocab.error().with_context(shown(tokenizer));
  const auto pieces = add_tensors(*shape, model.bytes(), writer);
  if (!pieces.ok()) return pieces.error().with_context(shown(model));

  ConvertReport report;
  report.name = name;
  report.n_tensors = pieces->size();
  report.n_tokens = shape->vocab;
  QUERN_ASSIGN_OR_RETURN(const auto output, writer.create(out_path));
  for (const auto piece : *pieces) {
    QUERN_RETURN_IF_ERROR(output->write_tensor(piece));
    report.n_weights += piece.size() / sizeof(float);
  }
  if (model.poisoned() || tokenizer.poisoned()) {
    return Error(ErrorKind::kIo, shown(model) +
                                     ": the source became shorter or unreadable while "
                                     "it was converted: check the disk and try again");
  }
  QUERN_RETURN_IF_ERROR(output->finish());
  std::error_code failed;
  report.file_bytes = std::filesystem::file_size(out_path, failed);
  if (failed) return Error(ErrorKind::kIo, "the converted file disappeared: " + failed.message());
  return report;
}

}  // namespace

Result<ConvertReport> convert_llama2c(const std::filesystem::path& bin_path,
                                      const std::filesystem::path& tokenizer_path,
                                      const std::filesystem::path& out_path,
                                      const Llama2cLabels& labels) {
  QUERN_ASSIGN_OR_RETURN(const auto model, MappedFile::open(bin_path));
  QUERN_ASSIGN_OR_RETURN(const auto tokenizer, MappedFile::open(tokenizer_path));
  const std::string name = labels.name.empty() ? bin_path.stem().string() : labels.name;
  return convert(*model, *tokenizer, out_path, name, labels.license);
}

}  // namespace quern::convert
