#include "models/convert/quantize.h"

#include <algorithm>
#include <bit>
#include <string>
#include <system_error>
#include <vector>

#include "config/base/check.h"
#include "config/base/thread_pool.h"
#include "kernels/quantize/encoder.h"
#include "models/gguf/name_rules.h"

namespace quern::convert {
namespace {

using formats::FormatInfo;

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

// A part of one tensor: whole rows, or of a row too long for one part whole blocks.
struct Part {
  uint64_t first;  // value
  uint64_t n_values;
};

// Encodes the pieces of one tensor, each with all threads.
class TensorEncoder {
 public:
  TensorEncoder(const PlannedTensor& tensor, quantize::Encode encode, ThreadPool& pool,
                std::vector<std::vector<float>>& scratch)
      : tensor_(tensor),
        from_(formats::format_info(tensor.source->format)),
        to_(formats::format_info(tensor.format)),
        encode_(encode),
        pool_(pool),
        scratch_(scratch) {}

  // Values of the smallest part that can be encoded by itself.
  uint64_t unit_values() const {
    return static_cast<uint64_t>(std::max(from_.block_values, to_.block_values));
  }

  // False when a weight is not finite.
  bool run(const Part& piece, std::vector<std::byte>& out) {
    out.resize(bytes_of(to_, piece.n_values));
    const uint64_t unit = unit_values();
    const uint64_t grain = std::max<uint64_t>(kShareValues / unit, 1);
    std::atomic<bool> finite{true};
    pool_.parallel_for(
        static_cast<int64_t>(piece.n_values / unit), static_cast<int64_t>(grain),
        [&](int64_t begin, int64_t end, int worker) {
          const uint64_t first = static_cast<uint64_t>(begin) * unit;
          const Part share{piece.first + first, static_cast<uint64_t>(end - begin) * unit};
          std::byte* to = out.data() + bytes_of(to_, first);
          if (!encode_share(share, to, scratch_[static_cast<size_t>(worker)])) {
            finite.store(false, std::memory_order_relaxed);
          }
        });
    return finite.load(std::memory_order_relaxed);
  }

 private:
  static uint64_t bytes_of(const FormatInfo& format, uint64_t n_values) {
    const auto bytes = formats::row_bytes(format, n_values);
    CHECK(bytes.has_value());
    return *bytes;
  }

  bool encode_share(const Part& share, std::byte* to, std::vector<float>& values) {
    values.resize(share.n_values);
    from_.decode_row(tensor_.source->data.data() + bytes_of(from_, share.first), values.data(),
                     static_cast<int64_t>(share.n_values));
    if (!all_finite(values.data(), share.n_values)) return false;
    if (tensor_.importance == nullptr) {
      encode_(values.data(), nullptr, to, static_cast<int64_t>(share.n_values));
      return true;
    }
    // Importance is per column, so it is handed over row by row.
    const uint64_t n_cols = tensor_.source->dims[0];
    for (uint64_t v = 0; v < share.n_values;) {
      const uint64_t column = (share.first + v) % n_cols;
      const uint64_t matrix = (share.first + v) / (n_cols * tensor_.source->dims[1]);
      const uint64_t n = std::min(n_cols - column, share.n_values - v);
      encode_(values.data() + v, tensor_.importance->of(matrix) + column, to + bytes_of(to_, v),
              static_cast<int64_t>(n));
      v += n;
    }
    return true;
  }

  const PlannedTensor& tensor_;
  const FormatInfo& from_;
  const FormatInfo& to_;
  quantize::Encode encode_;
  ThreadPool& pool_;
  std::vector<std::vector<float>>& scratch_;
};

class Quantization {
 public:
  Quantization(const gguf::GgufFile& file, const QuantizePlan& plan, const QuantizeOptions& options,
               gguf::GgufOutput& output)
      : file_(file),
        plan_(plan),
        options_(options),
        output_(output),
        pool_(std::max(options.threads, 1)),
        scratch_(static_cast<size_t>(pool_.n_threads())) {}

  Status run() {
    for (const PlannedTensor& tensor : plan_.tensors) {
      QUERN_RETURN_IF_ERROR(tensor.copied() ? copy(tensor) : encode(tensor));
      if (!file_.poisoned()) continue;
      return Error(ErrorKind::kIo,
                   source() +
                       "the file became shorter or unreadable while it was read: check "
                       "the disk and try again");
    }
    return ok_status();
  }

 private:
  Status copy(const PlannedTensor& tensor) {
    const auto data = tensor.source->data;
    const uint64_t n_values = tensor.source->n_values();
    constexpr size_t kPieceBytes = size_t{16} << 20;
    for (size_t at = 0; at < data.size(); at += kPieceBytes) {
      QUERN_RETURN_IF_ERROR(
          output_.write(data.subspan(at, std::min(kPieceBytes, data.size() - at))));
      QUERN_RETURN_IF_ERROR(check_stop());
    }
    report(n_values);
    return ok_status();
  }

  Status encode(const PlannedTensor& tensor) {
    const quantize::Encode searching = quantize::find_encoder(tensor.format, options_.isa);
    CHECK(searching != nullptr);  // the plan has only such formats
    TensorEncoder encoder(tensor, searching, pool_, scratch_);
    const uint64_t n_values = tensor.source->n_values();
    const uint64_t piece = kPieceValues / encoder.unit_values() * encoder.unit_values();
    for (uint64_t first = 0; first < n_values; first += piece) {
      const Part part{first, std::min(piece, n_values - first)};
      if (!encoder.run(part, buffer_)) {
        return Error(ErrorKind::kInvalidInput,
                     source() + "tensor '" + tensor.source->name +
                         "' holds a weight that is infinite or not a number; the file is damaged "
                         "or was converted to too narrow a format: convert it again, to BF16 or "
                         "F32");
      }
      QUERN_RETURN_IF_ERROR(output_.write(buffer_));
      QUERN_RETURN_IF_ERROR(check_stop());
      report(part.n_values);
    }
    return ok_status();
  }

  // Opens sentences about the input.
  std::string source() const { return gguf::printable(file_.label(), 4096) + ": "; }

  Status check_stop() const {
    if (options_.stop == nullptr || !options_.stop->load(std::memory_order_relaxed)) {
      return ok_status();
    }
    return Error(ErrorKind::kCancelled, "interrupted; nothing was written");
  }

  void report(uint64_t n_values) {
    done_ += n_values;
    if (options_.progress) options_.progress(done_, plan_.n_weights);
  }

  const gguf::GgufFile& file_;
  const QuantizePlan& plan_;
  const QuantizeOptions& options_;
  gguf::GgufOutput& output_;
  ThreadPool pool_;
  std::vector<std::vector<float>> scratch_;  // per thread
  std::vector<std::byte> buffer_;
  uint64_t done_ = 0;
};

// A disk that is too small is better found before the work than after it. A file system that cannot
// tell is given a try.
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

}  // namespace

Status quantize_file(const gguf::GgufFile& file, const QuantizePlan& plan,
                     const QuantizeOptions& options, const std::filesystem::path& out) {
  QUERN_RETURN_IF_ERROR(check_room(out, plan.file_bytes));
  QUERN_ASSIGN_OR_RETURN(const auto output, plan.writer.create(out));
  QUERN_RETURN_IF_ERROR(Quantization(file, plan, options, *output).run());
  if (file.changed_on_disk()) {
    return Error(ErrorKind::kIo, gguf::printable(file.label(), 4096) +
                                     ": was rewritten while it was read; try again when nobody "
                                     "writes to it");
  }
  return output->finish();
}

}  // namespace quern::convert
