// One file, or several through an index. The index must agree with the shards: a tensor that it
// names and no shard has, or the other way round, means that files of two downloads were mixed.
#include "models/safetensors/checkpoint.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "config/base/json.h"
#include "config/base/mapped_file.h"
#include "models/gguf/name_rules.h"
#include "models/safetensors/header.h"

namespace quern::safetensors {
namespace {

using gguf::printable;

constexpr std::string_view kSingleName = "model.safetensors";
constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr std::string_view kTogether = ": download all parts of the model into one folder";

std::string shown(const std::filesystem::path& path) { return printable(path.string(), 4096); }

// A shard's name is a plain file name: an index from outside must not reach into other folders.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         !gguf::name_fault(name);
}

struct Index {
  std::set<std::string> shards;  // sorted: part 1 comes first
  std::vector<std::string> tensors;
};

Result<Index> read_index(const std::filesystem::path& path) {
  QUERN_ASSIGN_OR_RETURN(const auto file, MappedFile::open(path));
  const std::string text(reinterpret_cast<const char*>(file->bytes().data()),
                         std::min<uint64_t>(file->bytes().size(), Limits::kIndexBytes + 1));
  JsonLimits limits;
  limits.max_bytes = Limits::kIndexBytes;
  limits.max_depth = 8;
  limits.max_object_keys = Limits::kTensors;
  QUERN_ASSIGN_OR_RETURN(const Json json, parse_json(text, limits));
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    return Error(ErrorKind::kInvalidInput,
                 "has no weight_map, so it is no index of safetensors files");
  }
  Index index;
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    if (!shard.is_string() || !is_plain_name(shard.get<std::string>())) {
      return Error(ErrorKind::kInvalidInput, "weight_map places '" + printable(tensor) +
                                                 "' in something that is no file name");
    }
    index.shards.insert(shard.get<std::string>());
    index.tensors.push_back(tensor);
  }
  if (index.shards.empty() || index.shards.size() > Limits::kShards) {
    return Error(ErrorKind::kInvalidInput, "names " + std::to_string(index.shards.size()) +
                                               " files, expected 1 to " +
                                               std::to_string(Limits::kShards));
  }
  return index;
}

Result<std::filesystem::path> path_in_folder(const std::filesystem::path& folder) {
  std::error_code unknown;
  for (const std::string_view name : {kIndexName, kSingleName}) {
    if (std::filesystem::exists(folder / name, unknown)) return folder / name;
  }
  return Error(ErrorKind::kNotFound,
               shown(folder) +
                   ": holds neither model.safetensors nor "
                   "model.safetensors.index.json; weights in other files (.bin, .pt) "
                   "must be saved as safetensors first");
}

}  // namespace

std::string describe(const Tensor& tensor) {
  std::string text = std::string(dtype_name(tensor.dtype)) + " [";
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(tensor.shape[i]);
  }
  return text + "]";
}

Result<std::shared_ptr<const Checkpoint>> Checkpoint::open(const std::filesystem::path& path) {
  std::error_code unknown;
  std::filesystem::path file = path;
  if (std::filesystem::is_directory(path, unknown)) {
    QUERN_ASSIGN_OR_RETURN(file, path_in_folder(path));
  }
  std::shared_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->label_ = path.string();
  const bool is_index = file.filename().string().ends_with(".index.json");
  QUERN_RETURN_IF_ERROR(is_index ? checkpoint->open_index(file) : checkpoint->open_shard(file));
  QUERN_RETURN_IF_ERROR(checkpoint->index_tensors());
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint));
}

Result<std::shared_ptr<const Checkpoint>> Checkpoint::from_bytes(std::span<const std::byte> bytes,
                                                                 std::string_view label) {
  std::shared_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->label_ = std::string(label);
  QUERN_RETURN_IF_ERROR(checkpoint->add_file(bytes, checkpoint->label_));
  QUERN_RETURN_IF_ERROR(checkpoint->index_tensors());
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint));
}

Status Checkpoint::add_file(std::span<const std::byte> bytes, const std::string& label) {
  auto header = read_header(bytes);
  if (!header.ok()) return header.error().with_context(printable(label, 4096));
  if (tensors_.size() + header->tensors.size() > Limits::kTensors) {
    return Error(ErrorKind::kInvalidInput, printable(label, 4096) +
                                               ": brings the model to more than " +
                                               std::to_string(Limits::kTensors) + " tensors");
  }
  const int shard = static_cast<int>(file_labels_.size());
  if (shard == 0) metadata_ = std::move(header->metadata);
  file_labels_.push_back(label);
  file_bytes_ += bytes.size();
  for (Tensor& tensor : header->tensors) {
    tensor.shard = shard;
    tensors_.push_back(std::move(tensor));
  }
  return ok_status();
}

Status Checkpoint::open_shard(const std::filesystem::path& path) {
  auto mapping = MappedFile::open(path);
  if (!mapping.ok()) return mapping.error();
  QUERN_RETURN_IF_ERROR(add_file((*mapping)->bytes(), path.string()));
  if ((*mapping)->poisoned()) {
    return went_away(shown(path));
  }
  mappings_.push_back(std::move(*mapping));
  return ok_status();
}

Status Checkpoint::open_index(const std::filesystem::path& path) {
  const auto index = read_index(path);
  if (!index.ok()) return index.error().with_context(shown(path));
  for (const std::string& name : index->shards) {
    const Status status = open_shard(path.parent_path() / name);
    if (status.ok()) continue;
    if (status.error().kind() != ErrorKind::kNotFound) return status;
    return Error(ErrorKind::kNotFound, "a part that '" + shown(path) + "' names is missing: " +
                                           status.error().message() + std::string(kTogether));
  }
  std::unordered_set<std::string_view> found;
  for (const Tensor& tensor : tensors_) found.insert(tensor.name);
  for (const std::string& name : index->tensors) {
    if (found.contains(name)) continue;
    return Error(ErrorKind::kInvalidInput, shown(path) + ": names tensor '" + printable(name) +
                                               "', which no part holds" + std::string(kTogether));
  }
  return ok_status();
}

Status Checkpoint::index_tensors() {
  index_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (index_.emplace(tensors_[i].name, i).second) continue;
    return Error(ErrorKind::kInvalidInput, printable(label_of(tensors_[i]), 4096) + ": tensor '" +
                                               printable(tensors_[i].name) +
                                               "' is in another part too" + std::string(kTogether));
  }
  return ok_status();
}

const Tensor* Checkpoint::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const std::string& Checkpoint::label_of(const Tensor& tensor) const {
  return file_labels_[static_cast<size_t>(tensor.shard)];
}

bool Checkpoint::poisoned() const {
  return std::any_of(mappings_.begin(), mappings_.end(),
                     [](const auto& mapping) { return mapping->poisoned(); });
}

bool Checkpoint::changed_on_disk() const {
  return std::any_of(mappings_.begin(), mappings_.end(),
                     [](const auto& mapping) { return mapping->changed_on_disk(); });
}

std::vector<float> floats_of(const Tensor& tensor) {
  std::vector<float> values(tensor.n_values());
  decode_floats(tensor.dtype, tensor.data.data(), values.data(), values.size());
  return values;
}

}  // namespace quern::safetensors
