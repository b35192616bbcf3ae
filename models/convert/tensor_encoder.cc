#include "models/convert/tensor_encoder.h"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <system_error>
#include <utility>

#include "config/base/check.h"
#include "kernels/quantize/encoder.h"
#include "models/gguf/name_rules.h"

namespace quern::convert {
namespace {

// Weights between two writes: work for every thread for some milliseconds, some ten MiB at most.
constexpr uint64_t kPieceValues = uint64_t{16} << 20;
// Weights that a thread takes at once, as floats: half of a second-level cache.
constexpr uint64_t kShareValues = uint64_t{1} << 16;

bool all_finite(const float* values, uint64_t n) {
  constexpr uint32_t kExponent = 0x7F800000U;
  uint32_t found =
      0;  // instead of a way out of the loop, which would keep it from being vectorized
  for (uint64_t i = 0; i < n; ++i) {
    found |= static_cast<uint32_t>((std::bit_cast<uint32_t>(values[i]) & kExponent) == kExponent);
  }
  return found == 0;
}

uint64_t bytes_of(formats::FormatId format, uint64_t n_values) {
  const auto bytes = formats::row_bytes(formats::format_info(format), n_values);
  CHECK(bytes.has_value());
  return *bytes;
}

// Values of the smallest part that can be encoded by itself.
uint64_t unit_of(const EncodeTask& task) {
  const auto block = static_cast<uint64_t>(formats::format_info(task.format).block_values);
  return std::max(block, task.source->unit());
}

}  // namespace

// A part of one tensor: whole rows, or of a row too long for one part whole blocks.
struct TensorEncoder::Part {
  uint64_t first;  // value
  uint64_t n_values;
};

TensorEncoder::TensorEncoder(std::string label, uint64_t total_values,
                             const QuantizeOptions& options, gguf::GgufOutput& output)
    : label_(std::move(label)),
      total_values_(total_values),
      options_(options),
      output_(output),
      pool_(std::max(options.threads, 1)),
      scratch_(static_cast<size_t>(pool_.n_threads())) {}

TensorEncoder::Fault TensorEncoder::encode_piece(const EncodeTask& task, const Part& piece) {
  buffer_.resize(bytes_of(task.format, piece.n_values));
  const uint64_t unit = unit_of(task);
  const uint64_t grain = std::max<uint64_t>(kShareValues / unit, 1);
  std::atomic<int> worst{0};
  pool_.parallel_for(
      static_cast<int64_t>(piece.n_values / unit), static_cast<int64_t>(grain),
      [&](int64_t begin, int64_t end, int worker) {
        const uint64_t first = static_cast<uint64_t>(begin) * unit;
        const Part share{piece.first + first, static_cast<uint64_t>(end - begin) * unit};
        std::byte* to = buffer_.data() + bytes_of(task.format, first);
        const auto fault =
            static_cast<int>(encode_share(task, share, to, scratch_[static_cast<size_t>(worker)]));
        int known = worst.load(std::memory_order_relaxed);
        while (fault > known &&
               !worst.compare_exchange_weak(known, fault, std::memory_order_relaxed)) {
        }
      });
  return static_cast<Fault>(worst.load(std::memory_order_relaxed));
}

TensorEncoder::Fault TensorEncoder::encode_share(const EncodeTask& task, const Part& share,
                                                 std::byte* to, std::vector<float>& values) const {
  const quantize::Encode encoder = quantize::find_encoder(task.format, options_.isa);
  CHECK(encoder != nullptr);
  values.resize(share.n_values);
  task.source->read(share.first, share.n_values, values.data());
  if (!all_finite(values.data(), share.n_values)) return Fault::kNotFinite;
  const formats::FormatInfo& format = formats::format_info(task.format);
  if (!format.quantized()) {
    encoder(values.data(), nullptr, to, static_cast<int64_t>(share.n_values));
    format.decode_row(to, values.data(), static_cast<int64_t>(share.n_values));
    return all_finite(values.data(), share.n_values) ? Fault::kNone : Fault::kTooLarge;
  }
  if (task.importance == nullptr) {
    encoder(values.data(), nullptr, to, static_cast<int64_t>(share.n_values));
    return Fault::kNone;
  }
  // Importance is per column, so it is handed over row by row.
  for (uint64_t v = 0; v < share.n_values;) {
    const uint64_t column = (share.first + v) % task.n_cols;
    const uint64_t matrix = (share.first + v) / (task.n_cols * task.n_rows);
    const uint64_t n = std::min(task.n_cols - column, share.n_values - v);
    encoder(values.data() + v, task.importance->of(matrix) + column, to + bytes_of(task.format, v),
            static_cast<int64_t>(n));
    v += n;
  }
  return Fault::kNone;
}

Error TensorEncoder::fault_error(const EncodeTask& task, Fault fault) const {
  const std::string tensor = label_ + ": tensor '" + task.name + "' holds a weight that is ";
  if (fault == Fault::kTooLarge) {
    return Error(ErrorKind::kInvalidInput, tensor + "too large for " +
                                               std::string(formats::format_info(task.format).name) +
                                               ": choose BF16, F32 or a quantized type");
  }
  return Error(ErrorKind::kInvalidInput,
               tensor +
                   "infinite or not a number; the file is damaged or was converted to too narrow a "
                   "format: convert it again, to BF16 or F32");
}

Status TensorEncoder::encode(const EncodeTask& task) {
  const uint64_t unit = unit_of(task);
  const uint64_t piece = std::max(kPieceValues / unit, uint64_t{1}) * unit;
  for (uint64_t first = 0; first < task.n_values; first += piece) {
    const Part part{first, std::min(piece, task.n_values - first)};
    const Fault fault = encode_piece(task, part);
    if (fault != Fault::kNone) return fault_error(task, fault);
    QUERN_RETURN_IF_ERROR(output_.write(buffer_));
    QUERN_RETURN_IF_ERROR(check_stop());
    report(part.n_values);
  }
  return ok_status();
}

Status TensorEncoder::copy(std::span<const std::byte> bytes, uint64_t n_values) {
  constexpr size_t kPieceBytes = size_t{16} << 20;
  for (size_t at = 0; at < bytes.size(); at += kPieceBytes) {
    QUERN_RETURN_IF_ERROR(
        output_.write(bytes.subspan(at, std::min(kPieceBytes, bytes.size() - at))));
    QUERN_RETURN_IF_ERROR(check_stop());
  }
  report(n_values);
  return ok_status();
}

Status TensorEncoder::check_stop() const {
  if (options_.stop == nullptr || !options_.stop->load(std::memory_order_relaxed)) {
    return ok_status();
  }
  return Error(ErrorKind::kCancelled, "interrupted; nothing was written");
}

void TensorEncoder::report(uint64_t n_values) {
  done_ += n_values;
  if (options_.progress) options_.progress(done_, total_values_);
}

Status check_room(const std::filesystem::path& out, uint64_t needed) {
  std::error_code failed;
  const auto folder = out.parent_path();
  const auto room = std::filesystem::space(folder.empty() ? "." : folder, failed);
  if (failed || room.available >= needed) return ok_status();
  return Error(ErrorKind::kIo, gguf::printable(out.string(), 4096) + ": needs " +
                                   std::to_string(needed) + " bytes and the disk has " +
                                   std::to_string(room.available) +
                                   " left: free some, or write elsewhere");
}

}  // namespace quern::convert
