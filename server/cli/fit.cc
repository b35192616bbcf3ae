// `quern fit`: which files of a model, and which quantizations of one, fit this machine, how fast
// they will be, how well they keep the weights, and which to take. Nothing is loaded or written.
#include <algorithm>
#include <cstdio>

#include "config/base/json.h"
#include "models/fit/candidate.h"
#include "models/fit/recommend.h"
#include "models/fit/same_model.h"
#include "server/cli/ceilings.h"
#include "server/cli/option_flags.h"

namespace quern::cli {
namespace {

struct FitArguments {
  explicit FitArguments(CLI::App& app) : flags(app, options::kFit) {}
  OptionFlags flags;
  std::vector<std::string> models;
  bool files_only = false;
  bool no_measure = false;
  bool json = false;
};

// Everything that is found out, to be printed as a table or as JSON.
struct Report {
  const options::Options& options;
  const hardware::LoadedProfile& loaded;
  uint64_t memory_bytes = 0;  // that may be used
  std::vector<fit::Candidate> candidates = {};
  std::vector<std::pair<std::string, std::string>> failures =
      {};  // file and why it cannot be judged
  fit::Recommendation recommendation = {};
};

// "yes": in what may be used; "tight": only with other programs' memory; "no".
std::string verdict(const Report& report, const fit::Candidate& candidate) {
  const uint64_t needed = candidate.memory.total();
  if (needed <= report.memory_bytes) return "yes";
  const bool given = report.options.ram.count > 0;
  return !given && needed <= report.loaded.profile.memory.total_bytes ? "tight" : "no";
}

fit::Terms terms_of(const options::Options& options, const hardware::HardwareProfile& profile) {
  fit::Terms terms;
  terms.run = {.context_tokens = options.context_size,
               .sequences = static_cast<int32_t>(options.max_sequences),
               .max_step_tokens = static_cast<int32_t>(options.max_step_tokens),
               .kv_format = *ops::kv_format_of(options.kv_format)};
  terms.machine = profile.measured;
  return terms;
}

using Files = std::vector<std::shared_ptr<const gguf::GgufFile>>;

// Why nothing can be recommended among these files; empty: they are of one model.
std::string mixture(const Files& files) {
  for (const auto& file : files) {
    const auto difference = fit::model_difference(*files.front(), *file);
    if (!difference) continue;
    return files.front()->label() + " and " + file->label() + " are of different models (" +
           *difference + "), so none of them is recommended";
  }
  return "";
}

// Errors of the files, and what quantizing `reference` would give.
Status judge_quality(const Files& files, const std::shared_ptr<const gguf::GgufFile>& reference,
                     const fit::Terms& terms, Report& report) {
  const hardware::CpuInfo& cpu = report.loaded.profile.cpu;
  fit::ErrorSampler sampler(reference, cpu.isa, cpu.logical_processors);
  for (size_t i = 0; i < files.size(); ++i) {
    QUERN_ASSIGN_OR_RETURN(report.candidates[i].error, sampler.of_file(*files[i]));
  }
  std::vector<const convert::Recipe*> recipes;
  for (const convert::Recipe& recipe : convert::all_recipes()) recipes.push_back(&recipe);
  QUERN_ASSIGN_OR_RETURN(auto planned,
                         fit::candidates_of_recipes(*reference, recipes, terms, sampler));
  for (fit::Candidate& candidate : planned) report.candidates.push_back(std::move(candidate));
  return ok_status();
}

void judge(const FitArguments& arguments, Report& report) {
  const fit::Terms terms = terms_of(report.options, report.loaded.profile);
  Files files;
  for (const std::string& path : arguments.models) {
    const auto file = gguf::GgufFile::open(path);
    auto candidate = file.ok() ? fit::candidate_of_file(**file, terms) : file.error();
    if (!candidate.ok()) {
      report.failures.emplace_back(path, candidate.error().message());
      continue;
    }
    files.push_back(*file);
    report.candidates.push_back(std::move(candidate).value());
  }
  if (files.empty()) return;
  if (std::string why = mixture(files); !why.empty()) {
    report.recommendation.why = std::move(why);
    return;
  }
  const auto reference = std::find_if(
      files.begin(), files.end(), [](const auto& file) { return fit::is_full_precision(*file); });
  if (reference != files.end() && !arguments.files_only) {
    if (const Status done = judge_quality(files, *reference, terms, report); !done.ok()) {
      report.failures.emplace_back((*reference)->label(), done.error().message());
    }
  }
  report.recommendation =
      fit::recommend(report.candidates, {.memory_bytes = report.memory_bytes,
                                         .decode_rate = report.options.min_speed,
                                         .run = terms.run});
}

std::string rate(double tokens_per_second) {
  if (tokens_per_second <= 0) return "-";
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), tokens_per_second < 100 ? "%.1f" : "%.0f",
                tokens_per_second);
  return buffer;
}

std::string error_text(const fit::Candidate& candidate) {
  if (!candidate.error) return "-";
  if (*candidate.error == 0) return "0";
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.2g %%", 100 * *candidate.error);
  return buffer;
}

using Cells = std::vector<std::string>;

Cells cells_of(const Report& report, size_t index) {
  const fit::Candidate& candidate = report.candidates[index];
  return {report.recommendation.index == index ? ">" : "",
          candidate.recipe,
          options::format_bytes(candidate.file_bytes),
          options::format_bytes(candidate.memory.kv),
          options::format_bytes(candidate.memory.scratch),
          options::format_bytes(candidate.memory.total()),
          verdict(report, candidate),
          error_text(candidate),
          rate(candidate.prefill.predicted),
          rate(candidate.decode.predicted),
          rate(candidate.parallel.predicted),
          (candidate.planned ? "quantize " : "") + candidate.path};
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

void print_report(std::ostream& out, const Report& report) {
  const options::Options& options = report.options;
  const hardware::MemoryInfo& memory = report.loaded.profile.memory;
  out << "memory " << options::format_bytes(report.memory_bytes)
      << (options.ram.count > 0 ? " allowed" : " free") << " of "
      << options::format_bytes(memory.total_bytes) << "; " << options.max_sequences
      << " sequences of "
      << (options.context_size > 0 ? std::to_string(options.context_size)
                                   : std::string("the trained number of"))
      << " tokens, keys and values in " << options.kv_format << "\n"
      << "rates are predicted tokens/s (" << report.loaded.note
      << "): prefill of 512 tokens, decode of 1 sequence, and of all at half context\n"
      << "error: squared error of the weights relative to their square, sampled\n\n";
  std::vector<Cells> table = {{"", "format", "size", "KV", "scratch", "total", "fits", "error",
                               "prefill", "decode", "all", "file"}};
  for (size_t i = 0; i < report.candidates.size(); ++i) table.push_back(cells_of(report, i));
  print_table(out, table);
  if (report.recommendation.index) out << "\n> " << report.recommendation.why << '\n';
  if (!report.recommendation.index && !report.recommendation.why.empty()) {
    out << '\n' << report.recommendation.why << '\n';
  }
}

Json candidate_json(const Report& report, const fit::Candidate& candidate) {
  const auto speed = [](const loader::SpeedEstimate& s) {
    return s.ceiling > 0 ? Json{{"predicted", s.predicted}, {"ceiling", s.ceiling}} : Json(nullptr);
  };
  return {{"file", candidate.path},
          {"planned", candidate.planned},
          {"format", candidate.recipe},
          {"parameters", candidate.n_parameters},
          {"file_bytes", candidate.file_bytes},
          {"bits_per_weight", candidate.bits_per_weight},
          {"error", candidate.error ? Json(*candidate.error) : Json(nullptr)},
          {"memory",
           {{"weights", candidate.memory.weights},
            {"kv", candidate.memory.kv},
            {"scratch", candidate.memory.scratch},
            {"total", candidate.memory.total()}}},
          {"fits", verdict(report, candidate)},
          {"tokens_per_second",
           {{"prefill_512", speed(candidate.prefill)},
            {"decode_1", speed(candidate.decode)},
            {"decode_all", speed(candidate.parallel)}}}};
}

Json report_json(const Report& report) {
  const hardware::MemoryInfo& memory = report.loaded.profile.memory;
  Json list = Json::array();
  for (const fit::Candidate& candidate : report.candidates) {
    list.push_back(candidate_json(report, candidate));
  }
  for (const auto& [path, why] : report.failures) list.push_back({{"file", path}, {"error", why}});
  const auto& index = report.recommendation.index;
  return {{"memory",
           {{"total_bytes", memory.total_bytes},
            {"available_bytes", memory.available_bytes},
            {"allowed_bytes", report.memory_bytes}}},
          {"sequences", report.options.max_sequences},
          {"context_tokens", report.options.context_size},
          {"models", list},
          {"recommended", index ? Json(*index) : Json(nullptr)},
          {"why", report.recommendation.why}};
}

int fit_models(const Process& process, const FitArguments& arguments) {
  const auto resolved = arguments.flags.resolve(process);
  if (!resolved.ok()) return fail(process, resolved.error());
  const options::Options& options = resolved->options;
  if (options.vram.count > 0) {
    return fail(process,
                Error(ErrorKind::kUnsupported,
                      "--vram says there is a graphics card to use, and this version has no "
                      "kernels for one; leave it out, or at 0"));
  }
  const auto loaded = profile_with_ceilings(process, !arguments.no_measure);
  if (!loaded.ok()) return fail(process, loaded.error());
  Report report{.options = options, .loaded = *loaded};
  report.memory_bytes = options.ram.count > 0 ? static_cast<uint64_t>(options.ram.count)
                                              : loaded->profile.memory.available_bytes;
  judge(arguments, report);
  if (arguments.json) {
    process.out << dump_json(report_json(report), 2) << '\n';
  } else {
    print_report(process.out, report);
  }
  process.out.flush();
  for (const auto& failure : report.failures) {
    process.err << "quern: " << failure.second << std::endl;
  }
  return report.failures.empty() ? kExitDone : kExitFailed;
}

}  // namespace

Action define_fit(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<FitArguments>(app);
  app.add_option("MODEL", arguments->models, "GGUF files to judge, best of one model")->required();
  app.add_flag("--files-only", arguments->files_only,
               "judge the files as they are: plan no quantization and sample no weights");
  app.add_flag("--no-measure", arguments->no_measure,
               "do not measure the machine's ceilings if the profile has none");
  app.add_flag("--json", arguments->json, "print the table as JSON");
  app.add_option_function<std::string>(
      "--context",
      [arguments](const std::string& text) { arguments->flags.set("context_size", text); },
      "the same as --context-size");
  app.add_option_function<std::string>(
      "--parallel",
      [arguments](const std::string& text) { arguments->flags.set("max_sequences", text); },
      "the same as --max-sequences");
  app.footer(
      "\nExamples:\n"
      "  quern fit model-f16.gguf --ram 16GiB -c 8192 -p 4   which quantization to make of it\n"
      "  quern fit model-*.gguf                              which of several to take\n"
      "  quern fit --files-only a.gguf b.gguf                different models, from their headers\n"
      "\n\"fits\": yes, in the memory that is allowed or free now; tight, if other programs give "
      "some\n"
      "back; no. Weights are shared with the page cache. \"error\": how much of the weights'\n"
      "square is lost, from samples of this model's own matrices that are encoded as `quern\n"
      "quantize` would, without an importance matrix; it orders the formats of one model, and "
      "`quern\n"
      "compare` measures what they do to answers. The row marked > is the one to take.\n");
  return [arguments, &process] { return fit_models(process, *arguments); };
}

}  // namespace quern::cli
