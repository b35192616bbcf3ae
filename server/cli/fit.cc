// `quern fit`: whether model files fit this machine and how fast they will be, from their headers.
#include <algorithm>
#include <cstdio>

#include "config/base/json.h"
#include "models/loader/memory_estimate.h"
#include "models/loader/model_facts.h"
#include "models/loader/speed_estimate.h"
#include "server/cli/ceilings.h"
#include "server/cli/option_flags.h"

namespace quern::cli {
namespace {

constexpr int64_t kPromptTokens = 512;  // of the predicted prefill

struct FitArguments {
  explicit FitArguments(CLI::App& app) : flags(app, options::kFit) {}
  OptionFlags flags;
  std::vector<std::string> models;
  bool no_measure = false;
  bool json = false;
};

struct Row {
  std::string path;
  std::string error;  // why there are no figures; empty: there are
  std::string recipe;
  uint64_t parameters = 0;
  int64_t context_tokens = 0;
  loader::MemoryEstimate memory;
  std::string fits;
  loader::SpeedEstimate prefill;
  loader::SpeedEstimate decode;    // one sequence, empty context
  loader::SpeedEstimate parallel;  // all sequences, contexts half full
};

// "yes": in what is free now; "tight": only with other programs' memory; "no".
std::string verdict(const loader::MemoryEstimate& memory, const hardware::MemoryInfo& machine) {
  if (memory.total() <= machine.available_bytes) return "yes";
  return memory.total() <= machine.total_bytes ? "tight" : "no";
}

Status fill(Row& row, const options::Options& options, const hardware::HardwareProfile& profile) {
  QUERN_ASSIGN_OR_RETURN(const auto file, gguf::GgufFile::open(row.path));
  const auto sized = loader::model_size(*file, *ops::kv_format_of(options.kv_format));
  if (!sized.ok()) return sized.error().with_context(row.path);
  const loader::ModelSize& size = *sized;
  const loader::ModelFacts facts = loader::collect_facts(*file, "", size.hyper, {});
  row.recipe = facts.recipe;
  row.parameters = facts.n_parameters;
  row.context_tokens = options.context_size > 0 ? options.context_size : size.hyper.context_length;
  const auto sequences = static_cast<int32_t>(options.max_sequences);
  QUERN_ASSIGN_OR_RETURN(
      row.memory, loader::estimate_memory(
                      size, {.context_tokens = row.context_tokens,
                             .sequences = sequences,
                             .max_step_tokens = static_cast<int32_t>(options.max_step_tokens),
                             .kv_format = *ops::kv_format_of(options.kv_format)}));
  row.fits = verdict(row.memory, profile.memory);
  row.prefill = loader::estimate_prefill(size.work, profile.measured, kPromptTokens, 0);
  row.decode = loader::estimate_decode(size.work, profile.measured, 1, 0);
  row.parallel =
      loader::estimate_decode(size.work, profile.measured, sequences, row.context_tokens / 2);
  return ok_status();
}

std::string rate(double tokens_per_second) {
  if (tokens_per_second <= 0) return "-";
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), tokens_per_second < 100 ? "%.1f" : "%.0f",
                tokens_per_second);
  return buffer;
}

using Cells = std::vector<std::string>;

Cells cells_of(const Row& row) {
  return {row.recipe,
          options::format_bytes(row.memory.weights),
          options::format_bytes(row.memory.kv),
          options::format_bytes(row.memory.scratch),
          options::format_bytes(row.memory.total()),
          row.fits,
          rate(row.prefill.predicted),
          rate(row.decode.predicted),
          rate(row.parallel.predicted),
          row.path};
}

void print_table(std::ostream& out, const std::vector<Cells>& table) {
  std::vector<size_t> widths;
  for (const Cells& line : table) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const Cells& line : table) {
    for (size_t i = 0; i + 1 < line.size(); ++i) {
      out << std::string(widths[i] - line[i].size(), ' ') << line[i] << "  ";
    }
    out << line.back() << '\n';
  }
}

void print_rows(const Process& process, const std::vector<Row>& rows,
                const options::Options& options, const hardware::LoadedProfile& loaded) {
  const hardware::MemoryInfo& memory = loaded.profile.memory;
  process.out << "memory " << options::format_bytes(memory.available_bytes) << " free of "
              << options::format_bytes(memory.total_bytes) << "; " << options.max_sequences
              << " sequences of "
              << (options.context_size > 0 ? std::to_string(options.context_size)
                                           : std::string("the trained number of"))
              << " tokens, keys and values in " << options.kv_format << "\n"
              << "rates are predicted tokens/s (" << loaded.note
              << "): prefill of 512 tokens, decode of 1 sequence, and of all at half context\n\n";
  std::vector<Cells> table = {
      {"format", "weights", "KV", "scratch", "total", "fits", "prefill", "decode", "all", "file"}};
  for (const Row& row : rows) {
    if (row.error.empty()) table.push_back(cells_of(row));
  }
  print_table(process.out, table);
}

Json row_json(const Row& row) {
  if (!row.error.empty()) return {{"file", row.path}, {"error", row.error}};
  const auto speed = [](const loader::SpeedEstimate& s) {
    return s.ceiling > 0 ? Json{{"predicted", s.predicted}, {"ceiling", s.ceiling}} : Json(nullptr);
  };
  return {{"file", row.path},
          {"format", row.recipe},
          {"parameters", row.parameters},
          {"context_tokens", row.context_tokens},
          {"memory",
           {{"weights", row.memory.weights},
            {"kv", row.memory.kv},
            {"scratch", row.memory.scratch},
            {"total", row.memory.total()}}},
          {"fits", row.fits},
          {"tokens_per_second",
           {{"prefill_512", speed(row.prefill)},
            {"decode_1", speed(row.decode)},
            {"decode_all", speed(row.parallel)}}}};
}

int fit(const Process& process, const FitArguments& arguments) {
  const auto resolved = arguments.flags.resolve(process);
  if (!resolved.ok()) return fail(process, resolved.error());
  const options::Options& options = resolved->options;
  const auto loaded = profile_with_ceilings(process, !arguments.no_measure);
  if (!loaded.ok()) return fail(process, loaded.error());
  std::vector<Row> rows;
  bool failed = false;
  for (const std::string& path : arguments.models) {
    Row row;
    row.path = path;
    if (const Status done = fill(row, options, loaded->profile); !done.ok()) {
      row.error = done.error().message();
      failed = true;
    }
    rows.push_back(std::move(row));
  }
  if (arguments.json) {
    Json list = Json::array();
    for (const Row& row : rows) list.push_back(row_json(row));
    const hardware::MemoryInfo& memory = loaded->profile.memory;
    process.out << dump_json(Json{{"memory",
                                   {{"total_bytes", memory.total_bytes},
                                    {"available_bytes", memory.available_bytes}}},
                                  {"sequences", options.max_sequences},
                                  {"models", list}},
                             2)
                << '\n';
  } else {
    print_rows(process, rows, options, *loaded);
  }
  process.out.flush();
  for (const Row& row : rows) {
    if (!row.error.empty()) process.err << "quern: " << row.error << std::endl;
  }
  return failed ? kExitFailed : kExitDone;
}

}  // namespace

Action define_fit(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<FitArguments>(app);
  app.add_option("MODEL", arguments->models, "GGUF files to judge")->required();
  app.add_flag("--no-measure", arguments->no_measure,
               "do not measure the machine's ceilings if the profile has none");
  app.add_flag("--json", arguments->json, "print the table as JSON");
  app.footer(
      "\nExamples:\n"
      "  quern fit model-q4_k_m.gguf model-q8_0.gguf\n"
      "  quern fit -c 8192 -p 4 *.gguf\n"
      "\nReads only the headers. \"fits\": yes, in the memory that is free now; tight, if other\n"
      "programs give some back; no. Weights are shared with the page cache.\n");
  return [arguments, &process] { return fit(process, *arguments); };
}

}  // namespace quern::cli
