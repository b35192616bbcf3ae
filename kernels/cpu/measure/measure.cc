#include "kernels/cpu/measure/measure.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu/measure/rate_kernel.h"

namespace quern::cpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRuns = 5;
constexpr double kRunSeconds = 0.03;
// Far beyond any last-level cache of one socket (the largest today is about 1.1 GiB on servers with
// stacked caches; 512 MiB read in order still defeats their replacement).
constexpr uint64_t kReadBytes = uint64_t{512} << 20;
constexpr uint64_t kLeastReadBytes = uint64_t{32} << 20;
// What CeilingProbe reads.
constexpr size_t kProbeBytes = size_t{256} << 20;
constexpr size_t kLeastProbeBytes = size_t{64} << 20;
// Half a millisecond or more, of which starting the threads is a small part.
constexpr int64_t kProbeIterations = int64_t{1} << 18;
constexpr int64_t kTileProbeIterations = int64_t{1} << 15;
constexpr int kProbeRuns = 2;

struct RateKernel {
  std::string_view name;
  hardware::IsaMask needs;
  const RateLoops* loops;
};

using hardware::Isa;
constexpr std::array kKernels = {
    RateKernel{"scalar", {}, &kRateScalar},
#if defined(__x86_64__)
    RateKernel{"avx2", Isa::kAvx2, &kRateAvx2},
    RateKernel{"avxvnni", Isa::kAvx2 | Isa::kAvxVnni, &kRateAvxVnni},
    RateKernel{"avx512", Isa::kAvx512, &kRateAvx512},
    RateKernel{"avx512vnni", Isa::kAvx512 | Isa::kAvx512Vnni, &kRateAvx512Vnni},
#endif
#if defined(__aarch64__)
    RateKernel{"neondot", Isa::kNeon | Isa::kNeonDot, &kRateNeonDot},
#endif
};

// The loop of the machine's tile unit, or null.
const TileRateLoop* tile_loop([[maybe_unused]] hardware::IsaMask isa) {
#if defined(__x86_64__)
  if (isa.contains(Isa::kAmxInt8)) return &kRateAmxInt8;
#endif
  return nullptr;
}

// Starts `threads` at once, each calling body(index); returns the seconds until the last ended.
template <typename Body>
double timed_parallel(int threads, const Body& body) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> pool;
  pool.reserve(static_cast<size_t>(threads));
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
      body(t);
    });
  }
  while (ready.load() < threads) std::this_thread::yield();
  const auto start = Clock::now();
  go.store(true, std::memory_order_release);
  for (std::thread& thread : pool) thread.join();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Operations per second of `loop` over all threads: best of kRuns, iterations grown until a run
// takes long enough to time.
template <typename Loop>
double best_rate(int threads, double operations_per_iteration, const Loop& loop) {
  int64_t iterations = 1 << 12;
  double seconds = timed_parallel(threads, [&](int) { loop(iterations); });
  while (seconds < kRunSeconds) {
    iterations *= 2;
    seconds = timed_parallel(threads, [&](int) { loop(iterations); });
  }
  double best = seconds;
  for (int run = 1; run < kRuns; ++run) {
    best = std::min(best, timed_parallel(threads, [&](int) { loop(iterations); }));
  }
  return operations_per_iteration * static_cast<double>(iterations) * threads / best;
}

// Reads `bytes` (a multiple of 4096) as `streams` parts side by side, each in order; the sum keeps
// the loads alive. Which number of streams the hardware prefetchers of a core follow best differs.
template <int streams>
uint64_t read_streams(const std::byte* data, uint64_t bytes) {
  const auto* words = reinterpret_cast<const uint64_t*>(data);
  const uint64_t part = bytes / sizeof(uint64_t) / streams;
  std::array<uint64_t, 8> sums{};
  for (uint64_t i = 0; i < part; i += 8) {
    for (uint64_t s = 0; s < streams; ++s) {
      for (uint64_t j = 0; j < 8; ++j) sums[j] += words[s * part + i + j];
    }
  }
  uint64_t sum = 0;
  for (const uint64_t value : sums) sum ^= value;
  return sum;
}

// Bytes per second of one run over `data` with 1 and with 4 streams, whichever is more.
double read_once(const std::byte* data, uint64_t bytes, int threads) {
  const uint64_t slice = bytes / static_cast<uint64_t>(threads) / 4096 * 4096;
  std::atomic<uint64_t> sink{0};
  const auto rate = [&](auto read) {
    const double seconds = timed_parallel(threads, [&](int t) {
      sink.fetch_xor(read(data + static_cast<uint64_t>(t) * slice, slice));
    });
    return static_cast<double>(slice) * threads / seconds;
  };
  return std::max(rate(read_streams<1>), rate(read_streams<4>));
}

double read_bandwidth(const std::byte* data, uint64_t bytes, int threads) {
  double best = 0;
  for (int run = 0; run < kRuns; ++run) best = std::max(best, read_once(data, bytes, threads));
  return best;
}

class Mapping {
 public:
  Mapping(int fd, uint64_t bytes) : bytes_(bytes) {
    const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    data_ = at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
  }
  ~Mapping() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

// Touches every page from the thread that will read it, so that NUMA placement is the reader's.
void fill(std::byte* data, uint64_t bytes, int threads) {
  const uint64_t slice = bytes / static_cast<uint64_t>(threads) / 4096 * 4096;
  timed_parallel(
      threads, [&](int t) { std::memset(data + static_cast<uint64_t>(t) * slice, t + 1, slice); });
}

double memory_bandwidth(uint64_t bytes, int threads) {
  const Mapping memory(-1, bytes);
  if (memory.data() == nullptr) return 0;
  madvise(memory.data(), bytes, MADV_HUGEPAGE);  // best effort: the ceiling, not the usual case
  fill(memory.data(), bytes, threads);
  return read_bandwidth(memory.data(), bytes, threads);
}

double file_bandwidth(uint64_t bytes, int threads) {
  std::error_code error;
  const auto directory = std::filesystem::temp_directory_path(error);
  if (error) return 0;
  std::string name = (directory / "quern-measure-XXXXXX").string();
  const int fd = mkstemp(name.data());
  if (fd < 0) return 0;
  unlink(name.c_str());
  double bandwidth = 0;
  // Room is reserved first: writing through a mapping into a full disk would raise SIGBUS.
  if (posix_fallocate(fd, 0, static_cast<off_t>(bytes)) == 0) {
    const Mapping mapping(fd, bytes);
    if (mapping.data() != nullptr) {
      fill(mapping.data(), bytes, threads);
      bandwidth = read_bandwidth(mapping.data(), bytes, threads);
    }
  }
  close(fd);
  return bandwidth;
}

}  // namespace

Result<hardware::Measured> measure_cpu(const hardware::HardwareProfile& profile,
                                       const MeasureOptions& options) {
  const auto report = [&](const std::string& what) {
    if (options.progress) options.progress(what);
  };
  const int threads = options.threads > 0 ? options.threads : profile.cpu.physical_cores;
  const uint64_t bytes = std::min(kReadBytes, profile.memory.available_bytes / 4);
  if (bytes < kLeastReadBytes) {
    return Error(ErrorKind::kOutOfMemory,
                 "too little free memory to measure read bandwidth: at least 128 MiB must be free; "
                 "close other programs or raise the memory limit");
  }
  hardware::Measured measured;
  measured.threads = threads;
  report("read bandwidth from memory");
  measured.read_bandwidth_gbs = memory_bandwidth(bytes, threads) / 1e9;
  report("read bandwidth through a file mapping");
  measured.mapped_read_bandwidth_gbs = file_bandwidth(bytes, threads) / 1e9;
  for (const RateKernel& kernel : kKernels) {
    if (!profile.cpu.isa.contains(kernel.needs)) continue;
    report("int8 and f32 rate with " + std::string(kernel.name));
    const RateLoops& loops = *kernel.loops;
    measured.int8_tops =
        std::max(measured.int8_tops, best_rate(threads, loops.int8_operations, loops.int8) / 1e12);
    measured.f32_tflops =
        std::max(measured.f32_tflops, best_rate(threads, loops.f32_operations, loops.f32) / 1e12);
  }
  if (const TileRateLoop* tiles = tile_loop(profile.cpu.isa); tiles != nullptr) {
    report("int8 rate by tiles");
    measured.int8_tile_tops = best_rate(threads, tiles->int8_operations, tiles->int8) / 1e12;
  }
  return measured;
}

CeilingProbe::CeilingProbe(const hardware::HardwareProfile& profile, int threads,
                           std::span<const std::byte> mapped)
    : isa_(profile.cpu.isa),
      threads_(threads > 0 ? threads : profile.cpu.physical_cores),
      mapped_(mapped.first(std::min(mapped.size(), kProbeBytes))) {
  if (mapped_.size() < kLeastProbeBytes) mapped_ = {};
}

hardware::Measured CeilingProbe::sample() const {
  hardware::Measured now;
  now.threads = threads_;
  if (!mapped_.empty()) {
    now.mapped_read_bandwidth_gbs = read_once(mapped_.data(), mapped_.size(), threads_) / 1e9;
  }
  // The best of some short runs, since a thread may be held up in any of them.
  const auto best = [&](double operations, auto loop, int64_t iterations) {
    double tops = 0;
    for (int run = 0; run < kProbeRuns; ++run) {
      const double seconds = timed_parallel(threads_, [&](int) { loop(iterations); });
      tops = std::max(tops, operations * static_cast<double>(iterations) * threads_ / seconds);
    }
    return tops / 1e12;
  };
  for (const RateKernel& kernel : kKernels) {
    if (!isa_.contains(kernel.needs)) continue;
    const RateLoops& loops = *kernel.loops;
    now.int8_tops =
        std::max(now.int8_tops, best(loops.int8_operations, loops.int8, kProbeIterations));
  }
  if (const TileRateLoop* tiles = tile_loop(isa_); tiles != nullptr) {
    now.int8_tile_tops = best(tiles->int8_operations, tiles->int8, kTileProbeIterations);
  }
  return now;
}

}  // namespace quern::cpu
