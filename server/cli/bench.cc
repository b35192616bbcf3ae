// `quern bench`: prefill and decode rates of a model, beside the machine's ceilings.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "config/base/json.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/measure/measure.h"
#include "kernels/dispatch/kernel_registry.h"
#include "models/loader/embedded_model.h"
#include "models/loader/model.h"
#include "models/loader/speed_estimate.h"
#include "server/cli/bench_runner.h"
#include "server/cli/bench_serve.h"
#include "server/cli/ceilings.h"
#include "server/cli/option_flags.h"
#include "server/cli/timed_backend.h"

namespace quern::cli {
namespace {

struct BenchArguments {
  explicit BenchArguments(CLI::App& app) : flags(app, options::kBench) {}
  OptionFlags flags;
  std::string model;
  std::vector<int32_t> prompts = {512};
  std::vector<int32_t> steps = {128};
  std::vector<int32_t> batches = {1, 4, 16};
  std::vector<int32_t> depths = {0, 4096};
  int repetitions = 3;
  bool no_measure = false;
  bool operations = false;
  bool json = false;
};

double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

struct Row {
  BenchCase bench;
  std::vector<double> rates;  // tokens/s of each repetition, all sequences together
  // The machine's ceilings around each repetition: the mean of before and after.
  std::vector<hardware::Measured> ceilings;
  double read_share = 0;      // of the read bandwidth through the mapping; 0: not known
  double multiply_share = 0;  // of the int8 rate; 0: not known
  double tile_share = 0;      // of the int8 rate by tiles; 0: not known, or there are none
  double predicted = 0;       // tokens/s; 0: not known
  StepTimes times;            // of all repetitions; empty unless asked for

  double median() const { return median_of(rates); }
  double lowest() const { return *std::min_element(rates.begin(), rates.end()); }
  double highest() const { return *std::max_element(rates.begin(), rates.end()); }
};

// What was benchmarked, for the head of the report.
struct Setting {
  std::string model;
  std::string backend;
  int threads = 0;
  options::Options options;
  hardware::LoadedProfile profile;
  loader::ModelSize size;
  std::vector<std::string> kernels;
};

std::vector<BenchCase> cases_of(const BenchArguments& arguments) {
  std::vector<BenchCase> cases;
  for (const int32_t depth : arguments.depths) {
    for (const int32_t tokens : arguments.prompts) {
      if (tokens > 0) cases.push_back({BenchCase::Kind::kPrefill, tokens, 1, depth});
    }
    for (const int32_t tokens : arguments.steps) {
      for (const int32_t batch : arguments.batches) {
        if (tokens > 0) cases.push_back({BenchCase::Kind::kDecode, tokens, batch, depth});
      }
    }
  }
  return cases;
}

// Shares are medians over the repetitions, each compared with the ceilings around it.
void compare_with_ceilings(const Setting& setting, Row& row) {
  const hardware::Measured& machine = setting.profile.profile.measured;
  const loader::TokenWork& work = setting.size.work;
  const bool decode = row.bench.kind == BenchCase::Kind::kDecode;
  const double batch = row.bench.batch;
  const double kv_bytes = batch * row.bench.depth * static_cast<double>(work.kv_bytes);
  const double bytes = (work.bytes(row.bench.batch) + kv_bytes) / batch;
  const double values = decode ? work.token_values() : work.token_layer_values();
  std::vector<double> read;
  std::vector<double> multiply;
  std::vector<double> tiles;
  for (size_t i = 0; i < row.ceilings.size(); ++i) {
    const hardware::Measured& then = row.ceilings[i];
    if (decode && then.mapped_read_bandwidth_gbs > 0) {
      read.push_back(row.rates[i] * bytes / (1e9 * then.mapped_read_bandwidth_gbs));
    }
    const double tops = row.rates[i] * 2 * values / 1e12;
    if (then.int8_tops > 0) multiply.push_back(tops / then.int8_tops);
    if (then.int8_tile_tops > 0) tiles.push_back(tops / then.int8_tile_tops);
  }
  row.read_share = median_of(std::move(read));
  row.multiply_share = median_of(std::move(multiply));
  row.tile_share = median_of(std::move(tiles));
  row.predicted =
      (decode ? loader::estimate_decode(work, machine, row.bench.batch, row.bench.depth)
              : loader::estimate_prefill(work, machine, row.bench.tokens, row.bench.depth))
          .predicted;
}

std::string text(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

std::string share_text(double share) { return share > 0 ? text("%.0f %%", share * 100) : "-"; }

std::string padded(const std::string& cell, size_t width) {
  return std::string(width > cell.size() ? width - cell.size() : 0, ' ') + cell;
}

void print_head(const Process& process, const Setting& setting) {
  const hardware::Measured& machine = setting.profile.profile.measured;
  process.out << setting.model << "\n"
              << setting.backend << ", " << setting.threads << " threads, keys and values in "
              << setting.options.kv_format << ", steps of up to " << setting.options.max_step_tokens
              << " tokens\n";
  for (const std::string& line : setting.kernels) process.out << "  " << line << '\n';
  if (machine.int8_tops > 0) {
    process.out << "profile: " << text("%.1f GB/s", machine.mapped_read_bandwidth_gbs)
                << " read through a mapping, " << text("%.2f", machine.int8_tops)
                << " T int8 operations/s"
                << (machine.int8_tile_tops > 0 ? text(" (%.2f by tiles)", machine.int8_tile_tops)
                                               : "")
                << " with " << machine.threads << " threads (" << setting.profile.note << ")\n";
  } else {
    process.out << "profile: not measured; run `quern hardware measure`\n";
  }
  process.out << '\n'
              << "test      tokens  batch  depth   tokens/s       low      high  of read  of int8 "
                 " of tiles  predicted\n";
}

void print_row(const Process& process, const Row& row) {
  const bool decode = row.bench.kind == BenchCase::Kind::kDecode;
  process.out << (decode ? "decode  " : "prefill ") << padded(std::to_string(row.bench.tokens), 8)
              << padded(std::to_string(row.bench.batch), 7)
              << padded(std::to_string(row.bench.depth), 7)
              << padded(text("%.2f", row.median()), 11) << padded(text("%.2f", row.lowest()), 10)
              << padded(text("%.2f", row.highest()), 10) << padded(share_text(row.read_share), 9)
              << padded(share_text(row.multiply_share), 9) << padded(share_text(row.tile_share), 10)
              << padded(row.predicted > 0 ? text("%.1f", row.predicted) : "-", 11) << '\n';
}

// One line of where the time of an average step went.
struct OperationLine {
  std::string name;
  double calls = 0;  // per step
  double us = 0;     // per step
};

std::vector<OperationLine> operation_lines(const StepTimes& times) {
  const auto steps = static_cast<double>(times.steps);
  const auto line = [&](std::string_view name, int64_t calls, int64_t ns) {
    return OperationLine{std::string(name), static_cast<double>(calls) / steps,
                         static_cast<double>(ns) / (1e3 * steps)};
  };
  std::vector<OperationLine> lines;
  if (times.steps == 0) return lines;
  for (size_t i = 0; i < times.ops.size(); ++i) {
    const StepTimes::Part& part = times.ops[i];
    if (part.calls == 0) continue;
    lines.push_back(line(dispatch::op_name(static_cast<ops::OpId>(i)), part.calls, part.ns));
  }
  lines.push_back(line("copies", times.copies.calls, times.copies.ns));
  lines.push_back(line("between", 0, times.outside_ns()));
  return lines;
}

void print_operations(const Process& process, const StepTimes& times) {
  if (times.steps == 0) return;
  const double all = static_cast<double>(times.step_ns) / (1e3 * static_cast<double>(times.steps));
  process.out << "  a step of " << text("%.1f us", all) << ":\n";
  for (const OperationLine& line : operation_lines(times)) {
    process.out << "    " << line.name
                << std::string(18 - std::min<size_t>(17, line.name.size()), ' ')
                << padded(text("%.1f", line.calls), 8) << " calls"
                << padded(text("%.1f us", line.us), 14)
                << padded(text("%.1f %%", 100 * line.us / all), 9) << '\n';
  }
}

Json operations_json(const StepTimes& times) {
  Json list = Json::array();
  for (const OperationLine& line : operation_lines(times)) {
    list.push_back({{"name", line.name}, {"calls_per_step", line.calls}, {"us_per_step", line.us}});
  }
  return list;
}

Json ceilings_json(const std::vector<hardware::Measured>& ceilings) {
  Json read = Json::array();
  Json multiply = Json::array();
  Json tiles = Json::array();
  for (const hardware::Measured& then : ceilings) {
    read.push_back(then.mapped_read_bandwidth_gbs);
    multiply.push_back(then.int8_tops);
    tiles.push_back(then.int8_tile_tops);
  }
  return {{"mapped_read_bandwidth_gbs", read}, {"int8_tops", multiply}, {"int8_tile_tops", tiles}};
}

Json row_json(const Row& row) {
  const bool decode = row.bench.kind == BenchCase::Kind::kDecode;
  const auto known = [](double value) { return value > 0 ? Json(value) : Json(nullptr); };
  return {{"test", decode ? "decode" : "prefill"},
          {"tokens", row.bench.tokens},
          {"batch", row.bench.batch},
          {"depth", row.bench.depth},
          {"tokens_per_second",
           {{"median", row.median()},
            {"low", row.lowest()},
            {"high", row.highest()},
            {"all", row.rates}}},
          {"ceilings", ceilings_json(row.ceilings)},
          {"share_of_read_bandwidth", known(row.read_share)},
          {"share_of_int8_rate", known(row.multiply_share)},
          {"share_of_int8_tile_rate", known(row.tile_share)},
          {"predicted", known(row.predicted)},
          {"operations", operations_json(row.times)}};
}

Json report_json(const Setting& setting, const std::vector<Row>& rows) {
  const hardware::Measured& machine = setting.profile.profile.measured;
  Json list = Json::array();
  for (const Row& row : rows) list.push_back(row_json(row));
  return {{"model", setting.model},
          {"backend", setting.backend},
          {"threads", setting.threads},
          {"kv_format", setting.options.kv_format},
          {"max_step_tokens", setting.options.max_step_tokens},
          {"kernels", setting.kernels},
          {"weight_bytes_per_token", std::llround(setting.size.work.bytes(1))},
          {"weight_values_per_token", std::llround(setting.size.work.token_values())},
          {"profile",
           {{"mapped_read_bandwidth_gbs", machine.mapped_read_bandwidth_gbs},
            {"read_bandwidth_gbs", machine.read_bandwidth_gbs},
            {"int8_tops", machine.int8_tops},
            {"int8_tile_tops", machine.int8_tile_tops},
            {"f32_tflops", machine.f32_tflops},
            {"threads", machine.threads},
            {"note", setting.profile.note}}},
          {"rows", list}};
}

hardware::Measured mean_of(const hardware::Measured& a, const hardware::Measured& b) {
  hardware::Measured mean;
  mean.mapped_read_bandwidth_gbs = (a.mapped_read_bandwidth_gbs + b.mapped_read_bandwidth_gbs) / 2;
  mean.int8_tops = (a.int8_tops + b.int8_tops) / 2;
  mean.int8_tile_tops = (a.int8_tile_tops + b.int8_tile_tops) / 2;
  return mean;
}

// The tensors of the first file of a model, from the first to the last: what the weights' bandwidth
// is compared with.
std::span<const std::byte> mapped_weights(const gguf::GgufFile& file) {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (tensor.shard != 0 || tensor.data.empty()) continue;
    const std::byte* first = tensor.data.data();
    if (begin == nullptr || first < begin) begin = first;
    if (end == nullptr || first + tensor.data.size() > end) end = first + tensor.data.size();
  }
  return {begin, end};
}

// Repetitions go round all cases, so that a machine that slows down slows all of them.
Result<std::vector<Row>> measure(const Process& process, BenchRunner& runner,
                                 const std::vector<BenchCase>& cases, int repetitions,
                                 const cpu::CeilingProbe* probe, const TimedBackend* timed) {
  std::vector<Row> rows;
  for (const BenchCase& bench : cases) rows.emplace_back().bench = bench;
  // Warms caches, page tables and threads, and finds errors early.
  BenchCase warm_up = cases.front();
  warm_up.tokens = std::min(warm_up.tokens, 64);
  warm_up.depth = 0;
  QUERN_ASSIGN_OR_RETURN([[maybe_unused]] const double warm, runner.run(warm_up));
  for (int i = 0; i < repetitions; ++i) {
    for (Row& row : rows) {
      if (process.err_is_terminal) {
        process.err << "\rrepetition " << i + 1 << " of " << repetitions << std::flush;
      }
      QUERN_RETURN_IF_ERROR(runner.prepare(row.bench));
      const hardware::Measured before = probe != nullptr ? probe->sample() : hardware::Measured();
      const StepTimes times = timed != nullptr ? timed->times() : StepTimes();
      QUERN_ASSIGN_OR_RETURN(const double seconds, runner.run(row.bench));
      if (timed != nullptr) row.times = row.times + (timed->times() - times);
      row.rates.push_back(static_cast<double>(row.bench.all_tokens()) / std::max(seconds, 1e-9));
      if (probe != nullptr) row.ceilings.push_back(mean_of(before, probe->sample()));
    }
  }
  if (process.err_is_terminal) process.err << "\r" << std::string(40, ' ') << "\r" << std::flush;
  return rows;
}

Status bench(const Process& process, const BenchArguments& arguments) {
  const std::vector<BenchCase> cases = cases_of(arguments);
  if (cases.empty()) {
    return Error(ErrorKind::kInvalidInput, "nothing to measure; give -p or -n more than 0");
  }
  Setting setting;
  QUERN_ASSIGN_OR_RETURN(options::Resolved resolved, arguments.flags.resolve(process));
  setting.options = std::move(resolved.options);
  const options::Options& options = setting.options;
  if (options.device == "cuda") {
    return Error(ErrorKind::kUnsupported,
                 "device cuda was asked for, but this command measures the CPU; use --device cpu");
  }
  QUERN_ASSIGN_OR_RETURN(setting.profile, profile_with_ceilings(process, !arguments.no_measure));
  const hardware::HardwareProfile& profile = setting.profile.profile;
  QUERN_ASSIGN_OR_RETURN(
      const auto backend,
      cpu::create_cpu_backend({profile, static_cast<int>(options.threads), options.kernel,
                               options.isa, cpu::pinning_of(options.pin)}));
  TimedBackend timed(*backend);
  backend::Backend& used = arguments.operations ? static_cast<backend::Backend&>(timed) : *backend;
  auto file = loader::open_file_or_embedded(arguments.model);
  if (!file.ok()) return file.error();
  QUERN_ASSIGN_OR_RETURN(setting.size,
                         loader::model_size(**file, *ops::kv_format_of(options.kv_format)));
  QUERN_ASSIGN_OR_RETURN(const auto model, loader::Model::load(*file, *backend));
  setting.model = model->facts().name + ", " + model->facts().recipe + ", " +
                  options::format_bytes(model->facts().file_bytes) + ", " + (*file)->label();
  setting.backend = backend->name();
  setting.threads =
      options.threads > 0 ? static_cast<int>(options.threads) : profile.cpu.physical_cores;
  setting.kernels = backend->explain();

  const BenchSize size = {.kv_format = *ops::kv_format_of(options.kv_format),
                          .max_step_tokens = static_cast<int32_t>(options.max_step_tokens)};
  QUERN_ASSIGN_OR_RETURN(const auto runner,
                         BenchRunner::create(used, model->weights(), size, cases));
  if (!arguments.json) print_head(process, setting);
  const cpu::CeilingProbe probe(profile, setting.threads, mapped_weights(**file));
  QUERN_ASSIGN_OR_RETURN(
      std::vector<Row> rows,
      measure(process, *runner, cases, arguments.repetitions,
              arguments.no_measure ? nullptr : &probe, arguments.operations ? &timed : nullptr));
  if ((*file)->poisoned()) {
    return Error(ErrorKind::kIo, (*file)->label() +
                                     ": reading the file failed while it was "
                                     "measured; get it again");
  }
  for (Row& row : rows) {
    compare_with_ceilings(setting, row);
    if (arguments.json) continue;
    print_row(process, row);
    print_operations(process, row.times);
  }
  if (arguments.json) process.out << dump_json(report_json(setting, rows), 2) << '\n';
  process.out.flush();
  return ok_status();
}

}  // namespace

Action define_bench(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<BenchArguments>(app);
  constexpr int32_t kMost = 1 << 20;
  app.add_option("MODEL", arguments->model,
                 "GGUF file, or the name of an embedded model; tales5m when absent");
  app.add_option("-p,--prompt", arguments->prompts, "prompt lengths to measure; 0: none [512]")
      ->delimiter(',')
      ->check(CLI::Range(0, kMost));
  app.add_option("-n,--steps", arguments->steps, "tokens to decode per sequence; 0: none [128]")
      ->delimiter(',')
      ->check(CLI::Range(0, kMost));
  app.add_option("-b,--batch", arguments->batches, "sequences decoded at once [1,4,16]")
      ->delimiter(',')
      ->check(CLI::Range(1, 256));
  app.add_option("-c,--depth", arguments->depths, "tokens in the context before [0,4096]")
      ->delimiter(',')
      ->check(CLI::Range(0, kMost));
  app.add_option("-r,--repetitions", arguments->repetitions, "how often [3]")
      ->check(CLI::Range(1, 1000));
  app.add_flag("--no-measure", arguments->no_measure, "do not measure the machine's ceilings");
  app.add_flag("--operations", arguments->operations,
               "say where the time of a step went, by operation");
  app.add_flag("--json", arguments->json, "print the report as JSON");
  const CLI::App* serve = app.add_subcommand("serve", "put load on a server and time its answers");
  const Action bench_serve = define_bench_serve(*app.get_subcommand("serve"), process);
  app.footer(
      "\nExamples:\n"
      "  quern bench serve http://127.0.0.1:8080 -c 16      see `quern bench serve --help`\n"
      "  quern bench model.gguf\n"
      "  quern bench model.gguf -p 512 -n 128 -b 1 -c 0 -r 5 --json\n"
      "  quern bench model.gguf --isa avx2 -t 1\n"
      "\nPrints the median, lowest and highest rate of the repetitions in tokens/s, all sequences\n"
      "together; \"of read\" is the share of the bandwidth of reading this file's mapping that "
      "reading\n"
      "weights and context takes up, \"of int8\" the share of the multiply-add rate of the vector\n"
      "units. Both ceilings are measured right before and after each repetition.\n");
  return [arguments, serve, bench_serve, &process] {
    if (serve->parsed()) return bench_serve();
    if (const Status done = bench(process, *arguments); !done.ok()) {
      return fail(process, done.error());
    }
    return kExitDone;
  };
}

}  // namespace quern::cli
