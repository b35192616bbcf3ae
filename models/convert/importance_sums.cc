#include "models/convert/importance_sums.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "models/gguf/name_rules.h"
#include "models/gguf/reader.h"
#include "models/gguf/writer.h"

namespace quern::convert {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";
constexpr std::string_view kDigestKey = "quern.imatrix.text_sha256";

std::vector<float> floats_of(const gguf::TensorInfo& tensor) {
  std::vector<float> values(tensor.n_values());
  std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(float));
  return values;
}

bool all_sums(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](float value) { return std::isfinite(value) && value >= 0; });
}

Error damaged(const std::filesystem::path& path, const std::string& what) {
  return Error(ErrorKind::kInvalidInput,
               gguf::printable(path.string(), 4096) + ": " + what +
                   "; this is no importance matrix that can be gone on with: name another output");
}

Status read_entries(const std::filesystem::path& path, const gguf::GgufFile& file,
                    ImportanceSums& sums) {
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!tensor.name.ends_with(kSums)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - kSums.size());
    const gguf::TensorInfo* counts = file.find_tensor(name + std::string(kCounts));
    const bool right = counts != nullptr && tensor.format == formats::FormatId::kF32 &&
                       counts->format == formats::FormatId::kF32 && tensor.n_values() > 0 &&
                       counts->n_values() == tensor.n_rows();
    if (!right) {
      return damaged(path, "'" + gguf::printable(name) + "' has no sums with a count for each row");
    }
    ImportanceSums::Entry entry{floats_of(tensor), floats_of(*counts)};
    if (!all_sums(entry.squares) || !all_sums(entry.n_rows)) {
      return damaged(path, "'" + gguf::printable(name) + "' holds no sums of squares");
    }
    sums.entries.emplace(name, std::move(entry));
  }
  return ok_status();
}

}  // namespace

Status write_importance_sums(const ImportanceSums& sums, const std::filesystem::path& path) {
  gguf::GgufWriter writer;
  gguf::Metadata& metadata = writer.metadata();
  metadata.set("general.type", std::string("imatrix"));
  metadata.set("imatrix.datasets", std::vector<std::string>{sums.dataset});
  metadata.set("imatrix.chunk_count", sums.n_chunks);
  metadata.set("imatrix.chunk_size", sums.chunk_tokens);
  metadata.set(std::string(kDigestKey), sums.text_digest);
  for (const auto& [name, entry] : sums.entries) {
    const uint64_t sums_dims[] = {entry.n_columns(), entry.n_matrices()};
    const uint64_t counts_dims[] = {1, entry.n_matrices()};
    QUERN_RETURN_IF_ERROR(
        writer.add_tensor(name + std::string(kSums), formats::FormatId::kF32, sums_dims));
    QUERN_RETURN_IF_ERROR(
        writer.add_tensor(name + std::string(kCounts), formats::FormatId::kF32, counts_dims));
  }
  QUERN_ASSIGN_OR_RETURN(const auto output, writer.create(path));
  for (const auto& [name, entry] : sums.entries) {
    QUERN_RETURN_IF_ERROR(output->write_tensor(std::as_bytes(std::span(entry.squares))));
    QUERN_RETURN_IF_ERROR(output->write_tensor(std::as_bytes(std::span(entry.n_rows))));
  }
  return output->finish();
}

Result<ImportanceSums> read_importance_sums(const std::filesystem::path& path) {
  QUERN_ASSIGN_OR_RETURN(const auto file, gguf::GgufFile::open(path));
  const gguf::Metadata& metadata = file->metadata();
  const auto type = metadata.find_string("general.type");
  if (!type.ok() || !type->has_value() || **type != "imatrix") {
    return damaged(path, "general.type is not \"imatrix\"");
  }
  ImportanceSums sums;
  const auto n_chunks = metadata.find_uint("imatrix.chunk_count");
  const auto chunk_tokens = metadata.find_uint("imatrix.chunk_size");
  if (!n_chunks.ok() || !chunk_tokens.ok()) return damaged(path, "its counts are no numbers");
  sums.n_chunks = static_cast<uint32_t>(n_chunks->value_or(0));
  sums.chunk_tokens = static_cast<uint32_t>(chunk_tokens->value_or(0));
  const auto datasets = metadata.find_array<std::string>("imatrix.datasets");
  if (datasets.ok() && *datasets != nullptr && !(*datasets)->empty()) {
    sums.dataset = (*datasets)->front();
  }
  const auto digest = metadata.find_string(kDigestKey);
  if (digest.ok() && digest->has_value()) sums.text_digest = **digest;
  QUERN_RETURN_IF_ERROR(read_entries(path, *file, sums));
  return sums;
}

}  // namespace quern::convert
