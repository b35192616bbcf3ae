// The header is copied out of the mapping before it is parsed, so that a file that changes under it
// cannot pass a check with one value and be used with another.
#include "models/safetensors/header.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "config/base/checked.h"
#include "config/base/json.h"
#include "models/gguf/foreign.h"
#include "models/gguf/name_rules.h"

namespace quern::safetensors {
namespace {

using gguf::printable;

constexpr uint64_t kLengthBytes = 8;
constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::string_view kCorrupt = "; the file is corrupt: download it again";
constexpr std::string_view kTruncated = "; the file is truncated: download it again";

Error invalid(const std::string& what, std::string_view next_step = kCorrupt) {
  return Error(ErrorKind::kInvalidInput, what + std::string(next_step));
}

Error bad_tensor(const std::string& name, const std::string& what) {
  return invalid("tensor '" + printable(name) + "' " + what);
}

// The JSON text of the header, without the spaces that pad it.
Result<std::string> header_text(std::span<const std::byte> bytes) {
  if (bytes.empty()) return invalid("the file is empty", ": download it again");
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()),
                               std::min<size_t>(bytes.size(), kLengthBytes + 1));
  if (start.size() <= kLengthBytes || start.back() != '{') {
    const auto advice = gguf::foreign_file(bytes);
    if (start.starts_with("GGUF")) {
      return Error(ErrorKind::kUnsupported, "this is a GGUF file, expected safetensors");
    }
    if (advice) return Error(ErrorKind::kUnsupported, std::string(*advice));
    return Error(ErrorKind::kUnsupported,
                 "this is not a safetensors file: byte 8 does not open a JSON header: check the "
                 "path and the download");
  }
  const auto length = load_unaligned<uint64_t>(bytes.data());
  if (length > Limits::kHeaderBytes) {
    return invalid("the header is " + std::to_string(length) +
                   " bytes long, which exceeds the limit of " +
                   std::to_string(Limits::kHeaderBytes));
  }
  if (!range_fits(kLengthBytes, length, bytes.size())) {
    return invalid("the header is " + std::to_string(length) + " bytes long and " +
                       std::to_string(bytes.size() - kLengthBytes) + " remain",
                   kTruncated);
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
}

std::optional<uint64_t> unsigned_of(const Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<uint64_t>();
}

Result<std::vector<uint64_t>> read_shape(const std::string& name, const Json& value) {
  if (!value.is_array() || value.size() > Limits::kDims) {
    return bad_tensor(name, "has a shape that is no list of up to " +
                                std::to_string(Limits::kDims) + " dimensions");
  }
  std::vector<uint64_t> shape;
  for (const Json& item : value) {
    const auto number = unsigned_of(item);
    if (!number) return bad_tensor(name, "has a dimension that is no whole number");
    shape.push_back(*number);
  }
  return shape;
}

struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;
};

Result<Range> read_range(const std::string& name, const Json& value) {
  if (value.is_array() && value.size() == 2) {
    const auto begin = unsigned_of(value[0]);
    const auto end = unsigned_of(value[1]);
    if (begin && end && *begin <= *end) return Range{*begin, *end};
  }
  return bad_tensor(name, "has data_offsets that are no pair of rising whole numbers");
}

// Bytes that the shape asks for.
std::optional<uint64_t> shape_bytes(const Tensor& tensor) {
  std::optional<uint64_t> size = dtype_bytes(tensor.dtype);
  // A zero anywhere makes the tensor empty, whatever the product of the others would be.
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) return 0;
  for (const uint64_t n : tensor.shape) {
    if (size) size = checked_mul(*size, n);
  }
  return size;
}

Result<Tensor> read_tensor(const std::string& name, const Json& value,
                           std::span<const std::byte> data, Range& range) {
  const auto fault = gguf::name_fault(name);
  if (fault || name.size() > Limits::kNameBytes) {
    return bad_tensor(name, "is refused: " + std::string(fault.value_or("the name is too long")));
  }
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets") || !value["dtype"].is_string()) {
    return bad_tensor(name, "has no dtype, shape and data_offsets");
  }
  Tensor tensor;
  tensor.name = name;
  const std::string dtype = value["dtype"].get<std::string>();
  const auto found = find_dtype(dtype);
  if (!found) {
    return Error(ErrorKind::kUnsupported, "tensor '" + printable(name) + "' has dtype '" +
                                              printable(dtype) + "'; expected one of " +
                                              dtype_names());
  }
  tensor.dtype = *found;
  QUERN_ASSIGN_OR_RETURN(tensor.shape, read_shape(name, value["shape"]));
  QUERN_ASSIGN_OR_RETURN(range, read_range(name, value["data_offsets"]));
  const uint64_t size = range.end - range.begin;
  const auto needed = shape_bytes(tensor);
  if (!needed || *needed != size) {
    return bad_tensor(name, "is " + describe(tensor) + ", which needs " +
                                (needed ? std::to_string(*needed) : "too many") +
                                " bytes, but has " + std::to_string(size));
  }
  if (!range_fits(range.begin, size, data.size())) {
    return invalid("tensor '" + printable(name) + "' ends at byte " + std::to_string(range.end) +
                       " of the data, which has " + std::to_string(data.size()),
                   kTruncated);
  }
  tensor.data = data.subspan(range.begin, size);
  return tensor;
}

// Sorted ranges must follow each other, from the first byte of the data to the last: what no tensor
// owns could hide anything, and what two own is a mistake of the writer.
Status check_cover(const std::vector<Tensor>& tensors, std::span<const std::byte> data) {
  const std::byte* at = data.data();
  for (const Tensor& tensor : tensors) {
    if (tensor.data.data() != at) {
      const bool gap = tensor.data.data() > at;
      return bad_tensor(tensor.name, gap ? "leaves a gap before its data"
                                         : "shares bytes with the tensor before it");
    }
    at += tensor.data.size();
  }
  const auto left = static_cast<uint64_t>(data.data() + data.size() - at);
  if (left == 0) return ok_status();
  return invalid(std::to_string(left) + " bytes after the last tensor belong to none");
}

Status read_metadata(const Json& value, Header& header) {
  if (!value.is_object()) return invalid("__metadata__ is no object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return invalid("__metadata__ holds something that is no text");
    header.metadata.emplace_back(key, text.get<std::string>());
  }
  return ok_status();
}

}  // namespace

Result<Header> read_header(std::span<const std::byte> bytes) {
  QUERN_ASSIGN_OR_RETURN(const std::string text, header_text(bytes));
  JsonLimits limits;
  limits.max_depth = 4;
  limits.max_object_keys = Limits::kFileTensors + 1;
  const auto parsed = parse_json(text, limits);
  if (!parsed.ok()) return parsed.error().with_context("header");
  const auto data = bytes.subspan(kLengthBytes + text.size());
  Header header;
  for (const auto& [name, value] : parsed->items()) {
    if (name == kMetadataKey) {
      QUERN_RETURN_IF_ERROR(read_metadata(value, header));
      continue;
    }
    Range range;
    QUERN_ASSIGN_OR_RETURN(Tensor tensor, read_tensor(name, value, data, range));
    header.tensors.push_back(std::move(tensor));
  }
  // Empty tensors come before what begins at the same byte.
  std::sort(header.tensors.begin(), header.tensors.end(), [](const Tensor& a, const Tensor& b) {
    if (a.data.data() != b.data.data()) return a.data.data() < b.data.data();
    if (a.data.size() != b.data.size()) return a.data.size() < b.data.size();
    return a.name < b.name;
  });
  QUERN_RETURN_IF_ERROR(check_cover(header.tensors, data));
  return header;
}

}  // namespace quern::safetensors
