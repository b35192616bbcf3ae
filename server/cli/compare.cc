// `quern compare`: several files of one model in one table, quality and speed.
#include <algorithm>
#include <cstdio>

#include "config/base/json.h"
#include "models/loader/memory_estimate.h"
#include "models/loader/speed_estimate.h"
#include "server/cli/bench_runner.h"
#include "server/cli/ceilings.h"
#include "server/cli/evaluation_session.h"
#include "server/cli/option_flags.h"
#include "server/cli/progress.h"

namespace quern::cli {
namespace {

struct CompareArguments {
  explicit CompareArguments(CLI::App& app) : flags(app, options::kBench) {}
  OptionFlags flags;
  std::vector<std::string> models;
  EvaluationText text;
  bool no_measure = false;
  bool json = false;
};

struct Rates {
  double decode = 0;   // tokens/s of one stream with an empty context; 0: not known
  double prefill = 0;  // of a prompt of 512 tokens, or of the whole context where it is shorter
};

struct Row {
  std::string path;
  std::string format;
  uint64_t bytes = 0;
  double bits_per_weight = 0;
  evaluate::DivergenceTable table;
  Rates predicted;
  Rates measured;
};

constexpr int32_t kPromptTokens = 512;
constexpr int32_t kDecodeTokens = 32;
constexpr int kRepetitions = 3;

int32_t prompt_tokens(const loader::Model& model) {
  return static_cast<int32_t>(std::min<int64_t>(kPromptTokens, model.facts().context_length));
}

// Medians of three.
Result<Rates> measure_rates(const EvaluatedModel& one, const options::Options& options) {
  const BenchCase cases[] = {
      {BenchCase::Kind::kPrefill, prompt_tokens(*one.model), 1, 0},
      {BenchCase::Kind::kDecode, std::min(kDecodeTokens, prompt_tokens(*one.model)), 1, 0}};
  QUERN_ASSIGN_OR_RETURN(
      const auto runner,
      BenchRunner::create(*one.backend, one.model->weights(),
                          {.kv_format = *ops::kv_format_of(options.kv_format),
                           .max_step_tokens = static_cast<int32_t>(options.max_step_tokens)},
                          cases));
  std::vector<double> rates[2];
  for (int i = 0; i <= kRepetitions; ++i) {
    for (size_t c = 0; c < 2; ++c) {
      QUERN_RETURN_IF_ERROR(runner->prepare(cases[c]));
      QUERN_ASSIGN_OR_RETURN(const double seconds, runner->run(cases[c]));
      // The first round warms up.
      if (i > 0) {
        rates[c].push_back(static_cast<double>(cases[c].all_tokens()) / std::max(seconds, 1e-9));
      }
    }
  }
  for (auto& list : rates) std::sort(list.begin(), list.end());
  return Rates{.decode = rates[1][kRepetitions / 2], .prefill = rates[0][kRepetitions / 2]};
}

Result<Rates> predict_rates(const EvaluatedModel& one, const options::Options& options,
                            const hardware::Measured& machine) {
  QUERN_ASSIGN_OR_RETURN(
      const loader::ModelSize size,
      loader::model_size(one.model->file(), *ops::kv_format_of(options.kv_format)));
  return Rates{
      .decode = loader::estimate_decode(size.work, machine, 1, 0).predicted,
      .prefill =
          loader::estimate_prefill(size.work, machine, prompt_tokens(*one.model), 0).predicted};
}

// The first file is the reference: it is open all the time, each other one in its turn.
class Comparison {
 public:
  Comparison(const Process& process, const CompareArguments& arguments,
             const options::Options& options, const hardware::HardwareProfile& profile)
      : process_(process),
        arguments_(arguments),
        options_(options),
        profile_(profile),
        pool_(evaluation_threads(options, profile)) {}

  Result<std::vector<Row>> run() {
    QUERN_ASSIGN_OR_RETURN(text_, read_text(arguments_.text.path));
    QUERN_ASSIGN_OR_RETURN(const auto reference, open(arguments_.models.front()));
    std::vector<Row> rows;
    QUERN_ASSIGN_OR_RETURN(Row first, score(*reference, nullptr));
    rows.push_back(std::move(first));
    for (size_t i = 1; i < arguments_.models.size(); ++i) {
      QUERN_ASSIGN_OR_RETURN(const auto candidate, open(arguments_.models[i]));
      QUERN_RETURN_IF_ERROR(check_same_vocabulary(*reference, *candidate));
      const auto against = evaluate::reference_model(*reference->scorer);
      QUERN_ASSIGN_OR_RETURN(Row row, score(*candidate, against.get()));
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  Result<std::unique_ptr<EvaluatedModel>> open(const std::string& path) const {
    return open_evaluated(options_, profile_, path, arguments_.text.context);
  }

  Result<Row> score(const EvaluatedModel& one, evaluate::Reference* reference) {
    Row row;
    row.path = one.path;
    const loader::ModelFacts& facts = one.model->facts();
    row.format = facts.recipe;
    row.bytes = facts.file_bytes;
    row.bits_per_weight =
        8.0 * static_cast<double>(facts.file_bytes) / static_cast<double>(facts.n_parameters);
    QUERN_ASSIGN_OR_RETURN(const evaluate::Windows windows,
                           cut_windows(one, text_, arguments_.text));
    Progress progress(process_, "scoring " + facts.recipe);
    QUERN_ASSIGN_OR_RETURN(
        row.table,
        evaluate::evaluate(*one.scorer, windows, pool_,
                           {.reference = reference, .keep = nullptr, .progress = [&](int64_t done) {
                              progress.show(static_cast<uint64_t>(done),
                                            static_cast<uint64_t>(windows.count()));
                              return true;
                            }}));
    QUERN_ASSIGN_OR_RETURN(row.predicted, predict_rates(one, options_, profile_.measured));
    if (!arguments_.no_measure) {
      QUERN_ASSIGN_OR_RETURN(row.measured, measure_rates(one, options_));
    }
    return row;
  }

  const Process& process_;
  const CompareArguments& arguments_;
  const options::Options& options_;
  const hardware::HardwareProfile& profile_;
  ThreadPool pool_;
  std::string text_;
};

std::string text_of(const char* format, double value) {
  char buffer[48];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

std::string rate_text(double rate) { return rate > 0 ? text_of("%.1f", rate) : "-"; }

void print_table(const Process& process, const std::vector<Row>& rows) {
  process.out << "format        size  bits/weight           perplexity           KL divergence  "
                 "same top   prefill tok/s    decode tok/s\n"
              << "                                                                              "
                 "           pred.    meas.   pred.   meas.\n";
  bool reference = true;
  for (const Row& row : rows) {
    char line[256];
    std::snprintf(
        line, sizeof(line), "%-9s %9s  %11.2f  %19s  %22s  %8s  %7s  %7s %7s %7s\n",
        row.format.c_str(), options::format_bytes(row.bytes).c_str(), row.bits_per_weight,
        estimate_text(evaluate::perplexity_of(row.table.nll()), 4).c_str(),
        reference ? "reference" : estimate_text(evaluate::mean_of(row.table.kl()), 6).c_str(),
        reference ? "-" : text_of("%.2f %%", row.table.same_top().value * 100).c_str(),
        rate_text(row.predicted.prefill).c_str(), rate_text(row.measured.prefill).c_str(),
        rate_text(row.predicted.decode).c_str(), rate_text(row.measured.decode).c_str());
    process.out << line;
    reference = false;
  }
  process.out.flush();
}

Json rates_json(const Rates& rates) {
  const auto known = [](double value) { return value > 0 ? Json(value) : Json(nullptr); };
  return {{"prefill", known(rates.prefill)}, {"decode", known(rates.decode)}};
}

Json rows_json(const std::vector<Row>& rows) {
  const auto estimate = [](const evaluate::Estimate& one) {
    return Json{{"value", one.value}, {"error", one.error}};
  };
  Json out = Json::array();
  for (const Row& row : rows) {
    Json one = {{"file", row.path},
                {"format", row.format},
                {"bytes", row.bytes},
                {"bits_per_weight", row.bits_per_weight},
                {"perplexity", estimate(evaluate::perplexity_of(row.table.nll()))},
                {"predicted_tokens_per_second", rates_json(row.predicted)},
                {"measured_tokens_per_second", rates_json(row.measured)}};
    if (!out.empty()) {
      one["kl_divergence"] = estimate(evaluate::mean_of(row.table.kl()));
      one["same_top_token"] = estimate(row.table.same_top());
      one["perplexity_increase"] = estimate(row.table.perplexity_increase());
    }
    out.push_back(std::move(one));
  }
  return out;
}

Status compare(const Process& process, const CompareArguments& arguments) {
  QUERN_ASSIGN_OR_RETURN(const options::Resolved resolved, arguments.flags.resolve(process));
  QUERN_ASSIGN_OR_RETURN(const hardware::LoadedProfile loaded,
                         profile_with_ceilings(process, !arguments.no_measure));
  Comparison comparison(process, arguments, resolved.options, loaded.profile);
  QUERN_ASSIGN_OR_RETURN(const std::vector<Row> rows, comparison.run());
  if (arguments.json) {
    process.out << dump_json(rows_json(rows), 2) << std::endl;
  } else {
    print_table(process, rows);
  }
  return ok_status();
}

}  // namespace

Action define_compare(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<CompareArguments>(app);
  app.add_option("MODEL", arguments->models,
                 "GGUF files of one model; the first is the reference of the others")
      ->required();
  app.add_option("--text", arguments->text.path, "file of plain text")->required();
  app.add_option("--context", arguments->text.context, "tokens per window [512]")
      ->check(CLI::Range(evaluate::kMinContext, 1 << 20));
  app.add_option("--windows", arguments->text.max_windows, "how many windows to score; 0: all [0]")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--no-measure", arguments->no_measure, "do not measure speed");
  app.add_flag("--json", arguments->json, "print the table as JSON");
  app.footer(
      "\nExamples:\n"
      "  quern compare model-f16.gguf model-q8_0.gguf model-q4_k_m.gguf --text wikitext.txt\n"
      "  quern compare f16.gguf q4.gguf --text text.txt --windows 50 --json\n"
      "\nThe first file and one other are open at a time. Speed is that of a prompt of 512 tokens\n"
      "and of one stream with an empty context; predictions come from the hardware profile.\n");
  return [arguments, &process] {
    if (const Status done = compare(process, *arguments); !done.ok()) {
      return fail(process, done.error());
    }
    return kExitDone;
  };
}

}  // namespace quern::cli
