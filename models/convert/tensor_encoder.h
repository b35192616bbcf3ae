// Streams tensors into a file that is being written: a piece at a time is read as floats, encoded
// by all threads, and written, so that memory does not grow with the tensor.
//
// Where the floats come from is the business of a ValueSource: a tensor of another file, or of a
// checkpoint that stores it otherwise. Same values and format, same bytes, whatever the number of
// threads and the instruction set.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/base/thread_pool.h"
#include "config/hardware/profile.h"
#include "kernels/formats/format.h"
#include "models/convert/importance.h"
#include "models/gguf/writer.h"

namespace quern::convert {

struct QuantizeOptions {
  int threads = 1;
  hardware::IsaMask isa = {};  // what the encoders may use
  // Called between pieces with the weights done so far and in all.
  std::function<void(uint64_t done, uint64_t total)> progress = {};
  // Set from elsewhere (a signal handler) to stop; may be null.
  const std::atomic<bool>* stop = nullptr;
};

// The values of one tensor in the order in which the written file holds them.
class ValueSource {
 public:
  virtual ~ValueSource() = default;
  // Writes values [first, first + n), both multiples of unit(), to `out`. From any thread.
  virtual void read(uint64_t first, uint64_t n, float* out) const = 0;
  // Smallest number of values that can be read by itself.
  virtual uint64_t unit() const { return 1; }
};

struct EncodeTask {
  const ValueSource* source = nullptr;
  std::string name;                        // of the tensor, for messages
  formats::FormatId format{};              // one that has an encoder
  uint64_t n_values = 0;                   // a multiple of both units
  uint64_t n_cols = 0;                     // values in a row
  uint64_t n_rows = 0;                     // rows of one matrix of the tensor
  const Importance* importance = nullptr;  // null: all columns alike
};

class TensorEncoder {
 public:
  // `label` opens sentences about the input; `total_values` is for the progress alone. Both
  // references must outlive the encoder.
  TensorEncoder(std::string label, uint64_t total_values, const QuantizeOptions& options,
                gguf::GgufOutput& output);

  // Writes the next tensor of the output. Errors: a value that is not finite, or would not be in a
  // float format, the output's own, interrupted (kCancelled).
  Status encode(const EncodeTask& task);
  // The same for bytes that stay as they are; they stand for n_values.
  Status copy(std::span<const std::byte> bytes, uint64_t n_values);

 private:
  struct Part;
  // What is wrong with a value of a part; the greater counts.
  enum class Fault : int { kNone, kTooLarge, kNotFinite };

  Fault encode_piece(const EncodeTask& task, const Part& piece);
  Fault encode_share(const EncodeTask& task, const Part& share, std::byte* to,
                     std::vector<float>& values) const;
  Error fault_error(const EncodeTask& task, Fault fault) const;
  Status check_stop() const;
  void report(uint64_t n_values);

  std::string label_;
  uint64_t total_values_;
  const QuantizeOptions& options_;
  gguf::GgufOutput& output_;
  ThreadPool pool_;
  std::vector<std::vector<float>> scratch_;  // per thread
  std::vector<std::byte> buffer_;
  uint64_t done_ = 0;
};

// A disk that is too small is better found before the work than after it. A file system that cannot
// tell is given a try.
Status check_room(const std::filesystem::path& out, uint64_t needed);

}  // namespace quern::convert
