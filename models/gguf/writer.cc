// The header is built in memory (metadata is), the data goes straight through.
#include "models/gguf/writer.h"

#include <algorithm>
#include <bit>
#include <unordered_set>
#include <utility>
#include <variant>

#include "config/base/checked.h"
#include "models/gguf/atomic_file.h"
#include "models/gguf/gguf_format.h"
#include "models/gguf/name_rules.h"
#include "models/gguf/tensor_layout.h"

namespace quern::gguf {
namespace {

Error refused(const std::string& what) {
  return Error(ErrorKind::kInvalidInput, what + ": the file would not be readable");
}

// Appends little-endian values to a byte vector.
class Bytes {
 public:
  template <typename T>
  void number(T value) {
    append(&value, sizeof(value));
  }
  void text(std::string_view text) {
    number<uint64_t>(text.size());
    append(text.data(), text.size());
  }
  void append(const void* from, size_t size) {
    const auto* begin = static_cast<const std::byte*>(from);
    bytes_.insert(bytes_.end(), begin, begin + size);
  }
  void pad_to(uint64_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) & ~(alignment - 1));
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

Status check_string(std::string_view text) {
  if (text.size() <= Limits::kStringBytes) return ok_status();
  return refused("a string of " + std::to_string(text.size()) + " bytes exceeds the limit of " +
                 std::to_string(Limits::kStringBytes));
}

Status put_value(Bytes& out, std::string_view key, const std::string& text) {
  const Status status = check_string(text);
  if (!status.ok()) return status.error().with_context("key '" + printable(key) + "'");
  out.text(text);
  return ok_status();
}

Status put_value(Bytes& out, std::string_view /*key*/, bool flag) {
  out.number<uint8_t>(flag ? 1 : 0);
  return ok_status();
}

template <typename T>
requires std::is_arithmetic_v<T> Status put_value(Bytes& out, std::string_view /*key*/, T number) {
  out.number(number);
  return ok_status();
}

void put_elements(Bytes& out, const std::vector<std::string>& values) {
  for (const std::string& text : values) out.text(text);
}

template <typename T>
void put_elements(Bytes& out, const std::vector<T>& values) {
  out.append(values.data(), values.size() * sizeof(T));
}

Status put_array(Bytes& out, std::string_view key, ValueKind kind, const auto& values) {
  if (values.size() > Limits::kArrayValues) {
    return refused("key '" + printable(key) + "': an array of " + std::to_string(values.size()) +
                   " values exceeds the limit of " + std::to_string(Limits::kArrayValues));
  }
  if constexpr (std::is_same_v<std::decay_t<decltype(values)>, std::vector<std::string>>) {
    for (const std::string& text : values) QUERN_RETURN_IF_ERROR(check_string(text));
  }
  out.number(static_cast<uint32_t>(kind));
  out.number<uint64_t>(values.size());
  put_elements(out, values);
  return ok_status();
}

Status put_pair(Bytes& out, const std::string& key, const Value& value) {
  if (const auto fault = name_fault(key)) {
    return refused("key '" + printable(key) + "': " + std::string(*fault));
  }
  if (key.size() > Limits::kKeyBytes) return refused("key '" + printable(key) + "' is too long");
  out.text(key);
  out.number(static_cast<uint32_t>(value_kind(value)));
  const ValueKind element = element_kind(value);
  return std::visit(
      [&](const auto& held) -> Status {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, BoolArray>) {
          if (std::any_of(held.values.begin(), held.values.end(), [](auto v) { return v > 1; })) {
            return refused("key '" + printable(key) + "': a bool other than 0 and 1");
          }
          return put_array(out, key, element, held.values);
        } else if constexpr (std::is_same_v<T, std::string> || std::is_arithmetic_v<T>) {
          return put_value(out, key, held);
        } else {
          return put_array(out, key, element, held);
        }
      },
      value);
}

class FileOutput : public GgufOutput {
 public:
  explicit FileOutput(std::unique_ptr<AtomicFile> file) : file_(std::move(file)) {}

 private:
  Status put(std::span<const std::byte> bytes) override { return file_->write(bytes); }
  Status complete() override { return file_->commit(); }

  std::unique_ptr<AtomicFile> file_;
};

class MemoryOutput : public GgufOutput {
 public:
  explicit MemoryOutput(std::vector<std::byte>& out) : out_(out) {}

 private:
  Status put(std::span<const std::byte> bytes) override {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    return ok_status();
  }
  Status complete() override { return ok_status(); }

  std::vector<std::byte>& out_;
};

uint64_t padding(uint64_t size, uint64_t alignment) {
  return (alignment - size % alignment) % alignment;
}

}  // namespace

void GgufOutput::expect(std::vector<uint64_t> sizes, uint64_t alignment) {
  sizes_ = std::move(sizes);
  alignment_ = alignment;
}

Status GgufOutput::write(std::span<const std::byte> part) {
  if (part.empty()) return ok_status();
  if (current_ == sizes_.size() || part.size() > sizes_[current_] - written_) {
    return Error(ErrorKind::kInternal,
                 "more tensor data was written than declared: " + std::to_string(part.size()) +
                     " bytes for tensor " + std::to_string(current_ + 1) + " of " +
                     std::to_string(sizes_.size()));
  }
  QUERN_RETURN_IF_ERROR(put(part));
  written_ += part.size();
  if (written_ < sizes_[current_]) return ok_status();
  const std::vector<std::byte> zeros(padding(written_, alignment_));
  ++current_;
  written_ = 0;
  return put(zeros);
}

Status GgufOutput::write_tensor(std::span<const std::byte> bytes) {
  if (written_ != 0 || current_ == sizes_.size() || bytes.size() != sizes_[current_]) {
    return Error(ErrorKind::kInternal, "tensor data of " + std::to_string(bytes.size()) +
                                           " bytes does not match tensor " +
                                           std::to_string(current_ + 1) + " of " +
                                           std::to_string(sizes_.size()));
  }
  return write(bytes);
}

Status GgufOutput::finish() {
  if (current_ != sizes_.size()) {
    return Error(ErrorKind::kInternal, "only " + std::to_string(current_) + " of " +
                                           std::to_string(sizes_.size()) + " tensors were written");
  }
  return complete();
}

Status GgufWriter::set_version(uint32_t version) {
  if (version < kVersionOldest || version > kVersionNewest) {
    return refused("version " + std::to_string(version));
  }
  version_ = version;
  return ok_status();
}

Status GgufWriter::add_tensor(std::string name, formats::FormatId format,
                              std::span<const uint64_t> dims) {
  if (const auto fault = tensor_name_fault(name); fault || name.size() > Limits::kNameBytes) {
    return refused("tensor name '" + printable(name) + "'");
  }
  if (dims.empty() || dims.size() > Limits::kDims ||
      std::any_of(dims.begin(), dims.end(), [](uint64_t n) { return n == 0; })) {
    return refused("tensor '" + printable(name) + "' with " + std::to_string(dims.size()) +
                   " dimensions, expected 1 to 4, each at least 1");
  }
  if (tensors_.size() >= Limits::kTensors) return refused("too many tensors");
  TensorInfo tensor;
  tensor.name = std::move(name);
  tensor.format = format;
  tensor.n_dims = static_cast<int>(dims.size());
  std::copy(dims.begin(), dims.end(), tensor.dims.begin());
  QUERN_ASSIGN_OR_RETURN(const uint64_t size, tensor_bytes(tensor));
  tensors_.push_back(std::move(tensor));
  sizes_.push_back(size);
  return ok_status();
}

Status GgufWriter::copy_header(const GgufFile& file) {
  version_ = file.version();
  metadata_ = file.metadata();
  tensors_.clear();
  sizes_.clear();
  for (const TensorInfo& tensor : file.tensors()) {
    const auto n_dims = static_cast<size_t>(tensor.n_dims);
    QUERN_RETURN_IF_ERROR(
        add_tensor(tensor.name, tensor.format, std::span(tensor.dims).first(n_dims)));
  }
  return ok_status();
}

Result<uint64_t> GgufWriter::alignment() const {
  const Value* value = metadata_.find(kAlignmentKey);
  if (value == nullptr) return kAlignmentDefault;
  const auto* alignment = std::get_if<uint32_t>(value);
  if (alignment == nullptr || !std::has_single_bit(*alignment) || *alignment > Limits::kAlignment) {
    return refused("key 'general.alignment' must be a uint32, a power of two up to " +
                   std::to_string(Limits::kAlignment));
  }
  return uint64_t{*alignment};
}

Result<std::vector<std::byte>> GgufWriter::header() const {
  QUERN_ASSIGN_OR_RETURN(const uint64_t align, alignment());
  if (metadata_.entries().size() > Limits::kPairs) return refused("too many keys");
  Bytes out;
  out.append(kMagic.data(), kMagic.size());
  out.number(version_);
  out.number<uint64_t>(tensors_.size());
  out.number<uint64_t>(metadata_.entries().size());
  for (const auto& [key, value] : metadata_.entries()) {
    QUERN_RETURN_IF_ERROR(put_pair(out, key, value));
  }
  uint64_t offset = 0;
  std::unordered_set<std::string_view> names;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorInfo& tensor = tensors_[i];
    if (!names.insert(tensor.name).second) {
      return refused("tensor '" + printable(tensor.name) + "' appears twice");
    }
    out.text(tensor.name);
    out.number(static_cast<uint32_t>(tensor.n_dims));
    for (int d = 0; d < tensor.n_dims; ++d) out.number(tensor.dims[d]);
    out.number(formats::format_info(tensor.format).gguf_code);
    out.number(offset);
    const auto end = checked_add(offset, sizes_[i]);
    const auto next = end ? checked_align_up(*end, align) : std::nullopt;
    if (!next) return refused("the sizes of the tensors overflow");
    offset = *next;
  }
  if (!tensors_.empty()) out.pad_to(align);
  return out.take();
}

Status GgufWriter::start(GgufOutput& output) const {
  QUERN_ASSIGN_OR_RETURN(const uint64_t align, alignment());
  QUERN_ASSIGN_OR_RETURN(const auto bytes, header());
  output.expect(sizes_, align);
  return output.put(bytes);
}

Result<std::unique_ptr<GgufOutput>> GgufWriter::create(const std::filesystem::path& path) const {
  QUERN_ASSIGN_OR_RETURN(auto file, AtomicFile::create(path));
  std::unique_ptr<GgufOutput> output = std::make_unique<FileOutput>(std::move(file));
  QUERN_RETURN_IF_ERROR(start(*output));
  return output;
}

Result<std::unique_ptr<GgufOutput>> GgufWriter::create_in(std::vector<std::byte>& out) const {
  out.clear();
  std::unique_ptr<GgufOutput> output = std::make_unique<MemoryOutput>(out);
  QUERN_RETURN_IF_ERROR(start(*output));
  return output;
}

}  // namespace quern::gguf
