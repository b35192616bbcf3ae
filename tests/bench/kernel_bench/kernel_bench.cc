// Times the matrix product of the CPU backend per format and number of columns, and attention.
//
//   kernel_bench [--threads N] [--stack-mb M] [--outputs N] [--isa CAP] [--kernel op=row]...
//                [--formats Q4_K,Q8_0] [--columns 1,16] [--contexts 0,4096]
//                [--milliseconds 1000]
//
// Weights are a stack of N x 2048 matrices (N: 5632) larger than the last-level cache, walked in
// turn, so one column measures memory; `--outputs 128 --stack-mb 0` keeps one small matrix in the
// cache and measures the processor. Prints the median of the runs (GB/s of weights and 1e9
// operations/s, multiply and add counted as two) and the fastest run. Bits are not checked here;
// the tests do that.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "config/hardware/profile.h"
#include "kernels/cpu/cpu_backend.h"

namespace quern {
namespace {

constexpr int64_t kIn = 2048;

struct Settings {
  int threads = 0;
  size_t stack_bytes = size_t{320} << 20;
  int64_t outputs = 5632;
  std::string isa;
  std::vector<std::string> forced;
  std::vector<std::string> formats = {"Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "F16"};
  std::vector<int> columns = {1, 4, 16, 128, 512};
  std::vector<int> contexts = {0, 512, 4096};
  double seconds = 1.0;  // per line
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

// A whole number from a flag; 0 for anything else.
int number(const std::string& text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<int> numbers(const std::string& text) {
  std::vector<int> out;
  if (text == "none") return out;
  for (const std::string& part : split(text)) out.push_back(number(part));
  return out;
}

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--threads") settings.threads = number(value);
    if (name == "--stack-mb") settings.stack_bytes = static_cast<size_t>(number(value)) << 20;
    if (name == "--isa") settings.isa = value;
    if (name == "--kernel") settings.forced.push_back(value);
    if (name == "--formats") settings.formats = split(value);
    if (name == "--milliseconds") settings.seconds = 1e-3 * number(value);
    if (name == "--columns") settings.columns = numbers(value);
    if (name == "--contexts") settings.contexts = numbers(value);
    if (name == "--outputs") settings.outputs = std::max(1, number(value));
  }
  return settings;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// With one thread its processor time, which a busy machine disturbs less than the clock on the
// wall.
double stopwatch(int threads) {
  if (threads != 1) return now();
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Random bytes with the bits in `keep`, and always those in `set`.
void fill(std::byte* data, size_t bytes, unsigned keep, unsigned set) {
  uint64_t state = 1;
  for (size_t i = 0; i < bytes; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    data[i] = static_cast<std::byte>((static_cast<unsigned>(state >> 56) & keep) | set);
  }
}

// Small numbers of 16 and 32 bits: the top exponent bit of every word is clear.
void fill_floats(std::byte* data, size_t bytes) { fill(data, bytes, 0x3F, 0); }

// Integer formats get all bytes, so that codebooks are read everywhere (an infinite scale costs no
// time); formats whose bytes are exponents stay clear of subnormal products, which may cost some.
void fill_weights(std::byte* data, size_t bytes, const formats::FormatInfo& format) {
  if (!format.quantized()) {
    fill_floats(data, bytes);
  } else if (format.family == formats::FormatFamily::kMx) {
    fill(data, bytes, 0x3F, 0x40);
  } else {
    fill(data, bytes, 0xFF, 0);
  }
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void bench_format(backend::Backend& backend, const formats::FormatInfo& format,
                  const Settings& settings) {
  const int64_t n_out = settings.outputs;
  const auto row_bytes = static_cast<int64_t>(*formats::row_bytes(format, kIn));
  const auto matrix_bytes = static_cast<size_t>(row_bytes * n_out);
  const size_t n_matrices = std::max<size_t>(1, settings.stack_bytes / matrix_bytes);
  auto memory = backend.allocate(n_matrices * matrix_bytes, "weights");
  if (!memory.ok()) return;
  fill_weights((*memory)->data(), n_matrices * matrix_bytes, format);
  std::vector<std::unique_ptr<const dispatch::Weight>> weights;
  for (size_t i = 0; i < n_matrices; ++i) {
    const tensor::TensorView view = {(*memory)->data() + i * matrix_bytes, &format, n_out, kIn,
                                     row_bytes};
    weights.push_back(std::move(backend.load_weight(view, "w")).value());
  }
  for (const int n : settings.columns) {
    std::vector<float> x(static_cast<size_t>(n * kIn));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 251) * 0.01F - 1.2F;
    std::vector<float> y(static_cast<size_t>(n * n_out));
    std::vector<double> times;
    const double start = now();
    size_t next = 0;
    do {
      const double begin = stopwatch(settings.threads);
      const ops::MatmulOutput output = {weights[next].get(), nullptr, y.data(), n_out};
      backend.matmul({x.data(), kIn, n, {&output, 1}});
      times.push_back(stopwatch(settings.threads) - begin);
      next = (next + 1) % n_matrices;
    } while (now() - start < settings.seconds || times.size() < 5);
    const double seconds = median(times);
    const double fastest = *std::min_element(times.begin(), times.end());
    std::printf("%-8s %-28s %5d columns  %9.1f us  %7.2f GB/s  %8.1f Gop/s  fastest %9.1f us\n",
                std::string(format.name).c_str(), std::string(weights[0]->matmul_row->name).c_str(),
                n, seconds * 1e6, static_cast<double>(matrix_bytes) / seconds * 1e-9,
                2.0 * static_cast<double>(kIn * n_out * n) / seconds * 1e-9, fastest * 1e6);
    std::fflush(stdout);
  }
}

// One layer of the 1.1B Llama shape: 32 heads, 4 kv heads, 64 wide.
void bench_attention(backend::Backend& backend, int32_t context, int32_t n_tokens,
                     const Settings& settings) {
  constexpr int32_t kPage = 32;
  const int32_t n_pages = (context + n_tokens + kPage - 1) / kPage;
  const size_t bytes = static_cast<size_t>(n_pages) * kPage * 4 * 64 * 2;
  // As many layers as are larger than the last-level cache, walked in turn.
  const size_t n_layers = std::max<size_t>(1, (size_t{128} << 20) / (2 * bytes));
  auto pages_of_all = backend.allocate(n_layers * 2 * bytes, "keys and values");
  if (!pages_of_all.ok()) return;
  fill_floats((*pages_of_all)->data(), n_layers * 2 * bytes);
  std::vector<int32_t> pages;
  for (int32_t i = 0; i < n_pages; ++i) pages.push_back(i);
  const std::vector<int32_t> tokens(static_cast<size_t>(n_tokens), 0);
  const std::vector<ops::SequenceSlice> slices = {{0, n_tokens, context, pages}};
  std::vector<float> q(static_cast<size_t>(n_tokens) * 2048, 0.1F);
  std::vector<float> y(q.size());
  if (!backend.begin_step({tokens, slices, {}}).ok()) return;
  std::vector<double> times;
  const double start = now();
  do {
    std::byte* keys = (*pages_of_all)->data() + times.size() % n_layers * 2 * bytes;
    const ops::KvLayerView cache = {keys, keys + bytes, ops::KvFormat::kF16, kPage, 4, 64};
    const double begin = stopwatch(settings.threads);
    backend.attention({cache, q.data(), 2048, 32, 0.125F, 0, 0, y.data(), 2048});
    times.push_back(stopwatch(settings.threads) - begin);
  } while (now() - start < settings.seconds || times.size() < 3);
  const double seconds = median(times);
  const double pairs = n_tokens * (context + 0.5 * n_tokens);
  std::printf("attention %5d tokens after %5d: %9.1f us  %7.1f Gflop/s  %7.2f GB/s\n", n_tokens,
              context, seconds * 1e6, pairs * 32 * 64 * 4 / seconds * 1e-9,
              2.0 * static_cast<double>(bytes) / seconds * 1e-9);
}

int bench(const Settings& settings) {
  const hardware::HardwareProfile profile = hardware::probe_hardware();
  auto made = cpu::create_cpu_backend({profile, settings.threads, settings.forced, settings.isa});
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", made.error().message().c_str());
    return 1;
  }
  std::printf("%s, %s\n", profile.cpu.model.c_str(), profile.cpu.isa.to_string().c_str());
  for (const std::string& name : settings.formats) {
    const formats::FormatInfo* format = formats::find_format_by_name(name);
    if (format != nullptr) bench_format(**made, *format, settings);
  }
  for (const int32_t context : settings.contexts) {
    bench_attention(**made, context, 1, settings);
    bench_attention(**made, context, 512, settings);
  }
  return 0;
}

}  // namespace
}  // namespace quern

int main(int argc, char** argv) { return quern::bench(quern::parse(argc, argv)); }
