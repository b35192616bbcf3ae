// The order of checks follows the order of the file: magic, version, counts, pairs, alignment,
// tensor records, padding, data.
#include "models/gguf/parser.h"

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>

#include "config/base/checked.h"
#include "models/gguf/foreign.h"
#include "models/gguf/gguf_format.h"
#include "models/gguf/name_rules.h"
#include "models/gguf/tensor_layout.h"
#include "models/gguf/value_reader.h"

namespace quern::gguf {
namespace {

// Formats that llama.cpp once wrote and later removed; their codes stay reserved.
bool is_retired_format(uint32_t code) {
  return code == 4 || code == 5 || (code >= 31 && code <= 33) || (code >= 36 && code <= 38);
}

Error bad_name(std::string_view what, uint64_t offset, std::string_view name,
               std::string_view fault) {
  return corrupt_error(what, offset, "'" + printable(name) + "' is refused: " + std::string(fault));
}

}  // namespace

Result<std::shared_ptr<GgufFile>> GgufParser::parse(std::span<const std::byte> bytes,
                                                    std::string label,
                                                    std::shared_ptr<const MappedFile> mapping) {
  std::shared_ptr<GgufFile> file(new GgufFile());
  file->label_ = std::move(label);
  file->file_bytes_ = bytes.size();
  if (mapping != nullptr) file->mappings_.push_back(std::move(mapping));
  GgufParser parser(bytes, *file);
  const Status status = parser.run();
  if (!status.ok()) return status.error().with_context(printable(file->label_, 4096));
  return file;
}

Status GgufParser::run() {
  QUERN_RETURN_IF_ERROR(read_magic());
  QUERN_RETURN_IF_ERROR(read_version());
  QUERN_RETURN_IF_ERROR(read_counts());
  QUERN_RETURN_IF_ERROR(read_pairs());
  QUERN_RETURN_IF_ERROR(read_alignment());
  QUERN_RETURN_IF_ERROR(read_tensors());
  const auto data_start = checked_align_up(cursor_.offset(), file_.alignment_);
  if (!data_start) return Error(ErrorKind::kInvalidInput, "the start of the data overflows");
  QUERN_RETURN_IF_ERROR(check_padding(*data_start));
  QUERN_RETURN_IF_ERROR(
      place_tensors(file_.tensors_, offsets_, bytes_, *data_start, file_.alignment_));
  return index_tensors(file_);
}

Status GgufParser::read_magic() {
  if (bytes_.empty()) {
    return Error(ErrorKind::kInvalidInput, "the file is empty: download it again");
  }
  const std::string_view start(reinterpret_cast<const char*>(bytes_.data()),
                               std::min<size_t>(bytes_.size(), kMagic.size()));
  if (start != kMagic) {
    if (start.size() < kMagic.size() && kMagic.starts_with(start)) {
      return truncated_error("magic", 0,
                             "needs 4 bytes, " + std::to_string(start.size()) + " remain");
    }
    if (const auto advice = foreign_file(bytes_)) {
      return Error(ErrorKind::kUnsupported, std::string(*advice));
    }
    return Error(ErrorKind::kUnsupported,
                 "this is not a GGUF file: it begins with '" + printable(start) +
                     "', expected 'GGUF': check the path and the download");
  }
  QUERN_RETURN_IF_ERROR(cursor_.read<uint32_t>("magic"));
  return ok_status();
}

Status GgufParser::read_version() {
  const uint64_t offset = cursor_.offset();
  QUERN_ASSIGN_OR_RETURN(const uint32_t version, cursor_.read<uint32_t>("version"));
  // Small numbers read in the wrong order have an empty lower half.
  if (version != 0 && (version & 0xffffu) == 0) {
    return Error(ErrorKind::kUnsupported,
                 "this GGUF file is big-endian (version field " + std::to_string(version) +
                     " at byte 4): convert the model again on a little-endian machine");
  }
  if (version == 1) {
    return Error(ErrorKind::kUnsupported,
                 "this is a GGUF file of version 1 (at byte 4), expected 2 or 3: convert the model "
                 "again with a current tool");
  }
  if (version < kVersionOldest) {
    return corrupt_error("version", offset, "is 0, expected 2 or 3");
  }
  if (version > kVersionNewest) {
    return unsupported_error("version", offset,
                             "is " + std::to_string(version) + ", expected 2 or 3");
  }
  file_.version_ = version;
  return ok_status();
}

Status GgufParser::read_counts() {
  const auto check = [](std::string_view field, uint64_t offset, uint64_t n, uint64_t limit) {
    if (n <= limit) return ok_status();
    return Status(corrupt_error(
        field, offset, std::to_string(n) + " exceeds the limit of " + std::to_string(limit)));
  };
  const uint64_t tensors_offset = cursor_.offset();
  QUERN_ASSIGN_OR_RETURN(n_tensors_, cursor_.read<uint64_t>("tensor count"));
  const uint64_t pairs_offset = cursor_.offset();
  QUERN_ASSIGN_OR_RETURN(n_pairs_, cursor_.read<uint64_t>("key count"));
  QUERN_RETURN_IF_ERROR(check("tensor count", tensors_offset, n_tensors_, Limits::kTensors));
  QUERN_RETURN_IF_ERROR(check("key count", pairs_offset, n_pairs_, Limits::kPairs));
  // Both counts are small by now, so the sum cannot overflow.
  const uint64_t least = n_pairs_ * kMinPairBytes + n_tensors_ * kMinTensorBytes;
  if (least > cursor_.remaining()) {
    return truncated_error("header", tensors_offset,
                           std::to_string(n_pairs_) + " keys and " + std::to_string(n_tensors_) +
                               " tensors need at least " + std::to_string(least) + " bytes, " +
                               std::to_string(cursor_.remaining()) + " remain");
  }
  return ok_status();
}

Status GgufParser::read_pairs() {
  file_.metadata_.reserve(n_pairs_);
  for (uint64_t i = 0; i < n_pairs_; ++i) {
    const Status status = read_pair();
    if (!status.ok()) {
      return status.error().with_context("key " + std::to_string(i + 1) + " of " +
                                         std::to_string(n_pairs_));
    }
  }
  return ok_status();
}

Status GgufParser::read_pair() {
  const uint64_t offset = cursor_.offset();
  std::string key;
  QUERN_RETURN_IF_ERROR(cursor_.read_string(key, "key", Limits::kKeyBytes));
  if (const auto fault = name_fault(key)) return bad_name("key", offset, key, *fault);
  auto value = read_value(cursor_);
  if (!value.ok()) return value.error().with_context("'" + printable(key) + "'");
  if (file_.metadata_.contains(key)) {
    return corrupt_error("key", offset, "'" + printable(key) + "' appears twice");
  }
  return file_.metadata_.add(std::move(key), std::move(value).value());
}

Status GgufParser::read_alignment() {
  const Value* value = file_.metadata_.find(kAlignmentKey);
  file_.alignment_ = kAlignmentDefault;
  if (value == nullptr) return ok_status();
  const auto* alignment = std::get_if<uint32_t>(value);
  if (alignment == nullptr) {
    return Error(ErrorKind::kInvalidInput,
                 "key 'general.alignment' holds " +
                     std::string(value_kind_name(value_kind(*value))) +
                     ", expected uint32: convert the model again with a current tool");
  }
  if (!std::has_single_bit(*alignment) || *alignment > Limits::kAlignment) {
    return Error(ErrorKind::kInvalidInput,
                 "key 'general.alignment' is " + std::to_string(*alignment) +
                     ", expected a power of two from 1 to " + std::to_string(Limits::kAlignment) +
                     ": convert the model again with a current tool");
  }
  file_.alignment_ = *alignment;
  return ok_status();
}

Status GgufParser::read_tensors() {
  if (n_tensors_ * kMinTensorBytes > cursor_.remaining()) {
    return truncated_error("tensor records", cursor_.offset(),
                           std::to_string(n_tensors_) + " tensors need at least " +
                               std::to_string(n_tensors_ * kMinTensorBytes) + " bytes, " +
                               std::to_string(cursor_.remaining()) + " remain");
  }
  file_.tensors_.resize(n_tensors_);
  offsets_.reserve(n_tensors_);
  for (uint64_t i = 0; i < n_tensors_; ++i) {
    TensorInfo& tensor = file_.tensors_[i];
    const Status status = read_tensor(tensor);
    if (!status.ok()) {
      std::string where = "tensor " + std::to_string(i + 1) + " of " + std::to_string(n_tensors_);
      if (!name_fault(tensor.name)) where += " '" + printable(tensor.name) + "'";
      return status.error().with_context(where);
    }
  }
  return ok_status();
}

Status GgufParser::read_tensor(TensorInfo& tensor) {
  const uint64_t name_offset = cursor_.offset();
  QUERN_RETURN_IF_ERROR(cursor_.read_string(tensor.name, "name", Limits::kNameBytes));
  if (const auto fault = tensor_name_fault(tensor.name)) {
    return bad_name("name", name_offset, tensor.name, *fault);
  }
  QUERN_RETURN_IF_ERROR(read_dims(tensor));
  const uint64_t format_offset = cursor_.offset();
  QUERN_ASSIGN_OR_RETURN(const uint32_t code, cursor_.read<uint32_t>("format"));
  const formats::FormatInfo* format = formats::find_format_by_gguf_code(code);
  if (format == nullptr) {
    const std::string_view why =
        is_retired_format(code) ? " was retired: quantize the model again" : " is unknown here";
    return unsupported_error("format", format_offset,
                             "code " + std::to_string(code) + std::string(why));
  }
  tensor.format = format->id;
  QUERN_ASSIGN_OR_RETURN(const uint64_t offset, cursor_.read<uint64_t>("data offset"));
  offsets_.push_back(offset);
  return ok_status();
}

Status GgufParser::read_dims(TensorInfo& tensor) {
  const uint64_t count_offset = cursor_.offset();
  QUERN_ASSIGN_OR_RETURN(const uint32_t n_dims, cursor_.read<uint32_t>("dimension count"));
  if (n_dims < 1 || n_dims > Limits::kDims) {
    return corrupt_error("dimension count", count_offset,
                         "is " + std::to_string(n_dims) + ", expected 1 to 4");
  }
  tensor.n_dims = static_cast<int>(n_dims);
  for (uint32_t i = 0; i < n_dims; ++i) {
    const uint64_t offset = cursor_.offset();
    QUERN_ASSIGN_OR_RETURN(tensor.dims[i], cursor_.read<uint64_t>("dimension"));
    if (tensor.dims[i] == 0 || tensor.dims[i] > static_cast<uint64_t>(INT64_MAX)) {
      return corrupt_error("dimension", offset,
                           "number " + std::to_string(i + 1) + " is " +
                               std::to_string(tensor.dims[i]) + ", expected 1 to 2^63 - 1");
    }
  }
  return ok_status();
}

// The gap before the data is zero in every file that a writer made. Anything else means that the
// counts in the header are wrong and the data would be read from the wrong place.
Status GgufParser::check_padding(uint64_t data_start) const {
  if (file_.tensors_.empty()) return ok_status();
  const uint64_t begin = cursor_.offset();
  const uint64_t end = std::min<uint64_t>(data_start, bytes_.size());
  for (uint64_t i = begin; i < end; ++i) {
    if (bytes_[i] != std::byte{0}) {
      return corrupt_error("padding", i, "is not zero, so the counts in the header are wrong");
    }
  }
  return ok_status();
}

void GgufParser::absorb(GgufFile& model, GgufFile&& part, int shard) {
  model.tensor_index_.clear();
  part.tensor_index_.clear();
  model.file_bytes_ += part.file_bytes_;
  for (TensorInfo& tensor : part.tensors_) {
    tensor.shard = shard;
    model.tensors_.push_back(std::move(tensor));
  }
  for (auto& mapping : part.mappings_) model.mappings_.push_back(std::move(mapping));
  part.tensors_.clear();
  part.mappings_.clear();
}

Status GgufParser::index_tensors(GgufFile& file) {
  file.tensor_index_.clear();
  file.tensor_index_.reserve(file.tensors_.size());
  for (size_t i = 0; i < file.tensors_.size(); ++i) {
    const std::string& name = file.tensors_[i].name;
    if (!file.tensor_index_.try_emplace(name, i).second) {
      return Error(ErrorKind::kInvalidInput,
                   "tensor '" + printable(name) +
                       "' appears twice; the file is corrupt: download it again or convert the "
                       "model anew");
    }
  }
  return ok_status();
}

}  // namespace quern::gguf
