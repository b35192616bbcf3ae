// Times the rows of a format in turns, each forced by name in a backend of its own, on made-up
// weights: larger than the caches for one column, so that memory takes part as it does in decoding.
#include "kernels/cpu/tune/tune.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_memory.h"
#include "kernels/cpu/cpu_rows.h"
#include "kernels/dispatch/plan.h"

namespace quern::cpu {
namespace {

using dispatch::KernelRow;
using dispatch::ShapeClass;

constexpr int64_t kIn = 2048;
constexpr int64_t kOut = 1024;
constexpr int64_t kBatchColumns = 64;
constexpr size_t kWeightBytes = size_t{64} << 20;
// A run of one column goes through the weights until this time is over; slow rows show it with one.
constexpr std::chrono::milliseconds kRunTime{2};
// How much faster a row must be to displace one of lower rank.
constexpr double kWorthIt = 0.95;

struct Candidate {
  const KernelRow* row;
  std::unique_ptr<backend::Backend> backend;
  std::vector<std::unique_ptr<const dispatch::Weight>> weights;
  size_t next = 0;     // weight to multiply with
  double seconds = 0;  // of the fastest run
};

// Bytes whose f16 scales are small numbers: the second highest bit of every byte is clear.
void fill(std::byte* data, size_t bytes) {
  uint64_t state = 1;
  for (size_t i = 0; i < bytes; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    data[i] = static_cast<std::byte>((state >> 56) & 0x3F);
  }
}

// The machine's rows for a format, lowest rank first; rows for any format only where it has none
// of its own.
std::vector<const KernelRow*> rows_for(const formats::FormatInfo& format, hardware::IsaMask isa) {
  std::vector<const KernelRow*> own;
  std::vector<const KernelRow*> general;
  for (const KernelRow& row : cpu_rows()) {
    if (row.op != ops::OpId::kMatmul || !isa.contains(row.needs)) continue;
    if (kIn % row.n_in_multiple != 0) continue;
    if (row.format == format.id) own.push_back(&row);
    if (!row.format && row.needs != hardware::IsaMask()) general.push_back(&row);
  }
  std::vector<const KernelRow*>& rows = own.empty() ? general : own;
  std::sort(rows.begin(), rows.end(),
            [](const KernelRow* a, const KernelRow* b) { return a->rank < b->rank; });
  return rows;
}

class Tuner {
 public:
  Tuner(const hardware::HardwareProfile& profile, const TuneOptions& options)
      : profile_(profile), options_(options) {
    profile_.tuned.clear();
  }

  Result<std::map<std::string, std::string>> run();

 private:
  Status tune_format(const formats::FormatInfo& format);
  Result<std::vector<Candidate>> candidates(const formats::FormatInfo& format,
                                            std::span<const KernelRow* const> rows);
  double time_run(Candidate& candidate, int64_t n_columns);
  const KernelRow* fastest(std::vector<Candidate>& candidates, int64_t n_columns);

  hardware::HardwareProfile profile_;
  const TuneOptions& options_;
  std::unique_ptr<backend::Buffer> bytes_;
  std::vector<float> x_;
  std::vector<float> y_;
  std::map<std::string, std::string> tuned_;
};

Result<std::vector<Candidate>> Tuner::candidates(const formats::FormatInfo& format,
                                                 std::span<const KernelRow* const> rows) {
  const auto row_bytes = static_cast<int64_t>(*formats::row_bytes(format, kIn));
  const auto matrix_bytes = static_cast<size_t>(row_bytes * kOut);
  std::vector<Candidate> out;
  for (const KernelRow* row : rows) {
    Candidate candidate;
    candidate.row = row;
    const std::vector<std::string> forced = {"matmul=" + std::string(row->name)};
    QUERN_ASSIGN_OR_RETURN(candidate.backend,
                           create_cpu_backend({profile_, options_.threads, forced, ""}));
    for (size_t at = 0; at + matrix_bytes <= kWeightBytes; at += matrix_bytes) {
      const tensor::TensorView view = {bytes_->data() + at, &format, kOut, kIn, row_bytes};
      QUERN_ASSIGN_OR_RETURN(auto weight, candidate.backend->load_weight(view, "tuning"));
      candidate.weights.push_back(std::move(weight));
    }
    out.push_back(std::move(candidate));
  }
  return out;
}

// Seconds per weight matrix. One column goes through several in turn, many columns take one.
double Tuner::time_run(Candidate& candidate, int64_t n_columns) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  int64_t runs = 0;
  do {
    const ops::MatmulOutput output = {candidate.weights[candidate.next].get(), nullptr, y_.data(),
                                      kOut};
    candidate.backend->matmul({x_.data(), kIn, n_columns, {&output, 1}});
    candidate.next = (candidate.next + 1) % candidate.weights.size();
    ++runs;
  } while (n_columns == 1 && Clock::now() - start < kRunTime);
  return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(runs);
}

const KernelRow* Tuner::fastest(std::vector<Candidate>& candidates, int64_t n_columns) {
  for (Candidate& candidate : candidates) candidate.seconds = std::numeric_limits<double>::max();
  // The first round warms up.
  for (int round = 0; round <= options_.rounds; ++round) {
    for (Candidate& candidate : candidates) {
      const double seconds = time_run(candidate, n_columns);
      if (round > 0) candidate.seconds = std::min(candidate.seconds, seconds);
    }
  }
  // Fastest runs, since what else the machine does only makes runs slower.
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates) {
    if (best == nullptr || candidate.seconds < kWorthIt * best->seconds) best = &candidate;
  }
  return best->row;
}

Status Tuner::tune_format(const formats::FormatInfo& format) {
  const auto rows = rows_for(format, profile_.cpu.isa);
  if (rows.size() < 2) return ok_status();
  if (options_.progress) options_.progress(format.name);
  QUERN_ASSIGN_OR_RETURN(auto all, candidates(format, rows));
  const auto keep = [&](ShapeClass shape, int64_t n_columns) {
    tuned_[dispatch::tuned_key(ops::OpId::kMatmul, format.name, shape)] =
        fastest(all, n_columns)->name;
  };
  keep(ShapeClass::kDecode, 1);
  keep(ShapeClass::kBatch, kBatchColumns);
  return ok_status();
}

Result<std::map<std::string, std::string>> Tuner::run() {
  QUERN_ASSIGN_OR_RETURN(bytes_, allocate_host(kWeightBytes, "weights to tune with"));
  fill(bytes_->data(), kWeightBytes);
  x_.resize(static_cast<size_t>(kIn * kBatchColumns));
  for (size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(i % 251) * 0.01F - 1.2F;
  y_.resize(static_cast<size_t>(kOut * kBatchColumns));
  for (const formats::FormatInfo& format : formats::all_formats()) {
    const bool wanted = options_.formats.empty() ||
                        std::find(options_.formats.begin(), options_.formats.end(), format.id) !=
                            options_.formats.end();
    if (!wanted || format.decode_row == nullptr) continue;
    QUERN_RETURN_IF_ERROR(tune_format(format));
  }
  return std::move(tuned_);
}

}  // namespace

Result<std::map<std::string, std::string>> tune_rows(const hardware::HardwareProfile& profile,
                                                     const TuneOptions& options) {
  return Tuner(profile, options).run();
}

}  // namespace quern::cpu
