// `quern perplexity`: how well a model predicts a text, alone or beside a reference.
#include <algorithm>
#include <cstdio>

#include "config/base/json.h"
#include "server/cli/ceilings.h"
#include "server/cli/evaluation_session.h"
#include "server/cli/interrupt.h"
#include "server/cli/option_flags.h"
#include "server/cli/progress.h"

namespace quern::cli {
namespace {

struct PerplexityArguments {
  explicit PerplexityArguments(CLI::App& app) : flags(app, options::kBench) {}
  OptionFlags flags;
  std::string model;
  EvaluationText text;
  std::vector<std::string> lora;
  std::string reference;       // a model
  std::string reference_file;  // of --save-reference
  std::string save_reference;
  bool json = false;
};

std::string padded(std::string_view name) {
  std::string out(name);
  out.resize(std::max<size_t>(out.size(), 34), ' ');
  return out;
}

void print_line(const Process& process, std::string_view name, const std::string& value) {
  process.out << padded(name) << value << '\n';
}

evaluate::Estimate percent(evaluate::Estimate share) {
  return {share.value * 100, share.error * 100};
}

void print_percentiles(const Process& process, std::string_view title,
                       std::span<const double> values, double unit) {
  process.out << '\n' << title << '\n';
  for (const evaluate::Percentile& one : evaluate::percentiles_of({values.begin(), values.end()})) {
    char buffer[32];
    std::snprintf(buffer, sizeof(buffer), "%12.6f", one.value * unit);
    print_line(process, "  " + std::string(one.name), buffer);
  }
}

void print_report(const Process& process, const evaluate::DivergenceTable& table,
                  const evaluate::Windows& windows, bool compared) {
  print_line(process, "perplexity", estimate_text(evaluate::perplexity_of(table.nll()), 4));
  print_line(process, "scored",
             std::to_string(table.size()) + " tokens in " + std::to_string(windows.count()) +
                 " windows of " + std::to_string(windows.context()));
  if (!compared) return;
  print_line(process, "perplexity of the reference",
             estimate_text(evaluate::perplexity_of(table.reference_nll()), 4));
  print_line(process, "perplexity against the reference",
             estimate_text(percent(table.perplexity_increase()), 3) + " %");
  print_line(process, "KL divergence", estimate_text(evaluate::mean_of(table.kl()), 6));
  print_line(process, "same likeliest token", estimate_text(percent(table.same_top()), 3) + " %");
  print_line(process, "change of the token's probability",
             estimate_text(percent(evaluate::mean_of(table.probability_change())), 3) + " %");
  print_line(process, "  its root mean square",
             estimate_text(percent(table.probability_change_rms()), 3) + " %");
  print_percentiles(process, "KL divergence, percentiles", table.kl(), 1);
  print_percentiles(process, "change of the token's probability in %, percentiles",
                    table.probability_change(), 100);
}

Json estimate_json(const evaluate::Estimate& estimate) {
  return {{"value", estimate.value}, {"error", estimate.error}};
}

Json percentiles_json(std::span<const double> values) {
  Json out = Json::array();
  for (const evaluate::Percentile& one : evaluate::percentiles_of({values.begin(), values.end()})) {
    out.push_back({{"share", one.share}, {"value", one.value}});
  }
  return out;
}

Json report_json(const PerplexityArguments& arguments, const evaluate::DivergenceTable& table,
                 const evaluate::Windows& windows, bool compared) {
  Json out = {{"model", arguments.model},
              {"text", arguments.text.path},
              {"context", windows.context()},
              {"windows", windows.count()},
              {"scored_tokens", table.size()},
              {"perplexity", estimate_json(evaluate::perplexity_of(table.nll()))},
              {"negative_log_likelihood", estimate_json(evaluate::mean_of(table.nll()))}};
  if (!compared) return out;
  out["reference_perplexity"] = estimate_json(evaluate::perplexity_of(table.reference_nll()));
  out["perplexity_increase"] = estimate_json(table.perplexity_increase());
  out["kl_divergence"] = estimate_json(evaluate::mean_of(table.kl()));
  out["kl_divergence_is_lower_bound"] = !arguments.reference_file.empty();
  out["kl_percentiles"] = percentiles_json(table.kl());
  out["same_top_token"] = estimate_json(table.same_top());
  out["probability_change"] = estimate_json(evaluate::mean_of(table.probability_change()));
  out["probability_change_rms"] = estimate_json(table.probability_change_rms());
  out["probability_change_percentiles"] = percentiles_json(table.probability_change());
  return out;
}

// What the model is compared with, and what that needs to stay alive.
struct OpenReference {
  std::unique_ptr<EvaluatedModel> model;
  std::unique_ptr<evaluate::Reference> reference;
};

Result<OpenReference> open_reference(const PerplexityArguments& arguments,
                                     const options::Options& options,
                                     const hardware::HardwareProfile& profile,
                                     const EvaluatedModel& candidate,
                                     const evaluate::ReferenceText& text) {
  OpenReference out;
  if (!arguments.reference_file.empty()) {
    QUERN_ASSIGN_OR_RETURN(auto reader,
                           evaluate::ReferenceReader::open(arguments.reference_file, text));
    out.reference = evaluate::reference_file(std::move(reader));
  } else if (!arguments.reference.empty()) {
    QUERN_ASSIGN_OR_RETURN(
        out.model, open_evaluated(options, profile, arguments.reference, arguments.text.context));
    QUERN_RETURN_IF_ERROR(check_same_vocabulary(candidate, *out.model));
    out.reference = evaluate::reference_model(*out.model->scorer);
  }
  return out;
}

Status perplexity(const Process& process, const PerplexityArguments& arguments) {
  QUERN_ASSIGN_OR_RETURN(const options::Resolved resolved, arguments.flags.resolve(process));
  const options::Options& options = resolved.options;
  QUERN_ASSIGN_OR_RETURN(const hardware::LoadedProfile loaded,
                         profile_with_ceilings(process, false));
  const hardware::HardwareProfile& profile = loaded.profile;
  QUERN_ASSIGN_OR_RETURN(const std::string text, read_text(arguments.text.path));
  QUERN_ASSIGN_OR_RETURN(const auto adapters, parse_adapters(arguments.lora));
  QUERN_ASSIGN_OR_RETURN(const auto candidate, open_evaluated(options, profile, arguments.model,
                                                              arguments.text.context, adapters));
  QUERN_ASSIGN_OR_RETURN(const evaluate::Windows windows,
                         cut_windows(*candidate, text, arguments.text));
  const auto about = evaluate::ReferenceText::of(windows, candidate->scorer->n_vocab());
  QUERN_ASSIGN_OR_RETURN(const OpenReference reference,
                         open_reference(arguments, options, profile, *candidate, about));
  std::unique_ptr<evaluate::ReferenceWriter> writer;
  if (!arguments.save_reference.empty()) {
    QUERN_ASSIGN_OR_RETURN(writer,
                           evaluate::ReferenceWriter::create(arguments.save_reference, about));
  }
  ThreadPool pool(evaluation_threads(options, profile));
  Progress progress(process, "scoring");
  const Interrupt interrupt;
  QUERN_ASSIGN_OR_RETURN(const evaluate::DivergenceTable table,
                         evaluate::evaluate(*candidate->scorer, windows, pool,
                                            {.reference = reference.reference.get(),
                                             .keep = writer.get(),
                                             .progress = [&](int64_t done) {
                                               progress.show(
                                                   static_cast<uint64_t>(done),
                                                   static_cast<uint64_t>(windows.count()));
                                               return !interrupt.flag();
                                             }}));
  if (writer != nullptr) QUERN_RETURN_IF_ERROR(writer->finish());
  const bool compared = reference.reference != nullptr;
  if (arguments.json) {
    process.out << dump_json(report_json(arguments, table, windows, compared), 2) << std::endl;
  } else {
    print_report(process, table, windows, compared);
    process.out.flush();
  }
  return ok_status();
}

}  // namespace

Action define_perplexity(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<PerplexityArguments>(app);
  app.add_option("MODEL", arguments->model, "GGUF file")->required();
  app.add_option("TEXT", arguments->text.path, "file of plain text")->required();
  app.add_option("--context", arguments->text.context, "tokens per window [512]")
      ->check(CLI::Range(evaluate::kMinContext, 1 << 20));
  app.add_option("--windows", arguments->text.max_windows, "how many windows to score; 0: all [0]")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--lora", arguments->lora,
                 "LoRA adapters (GGUF) to add to MODEL, but not to the reference: FILE[:SCALE], "
                 "repeatable")
      ->expected(1)
      ->allow_extra_args(false);
  CLI::Option* model = app.add_option("--reference", arguments->reference,
                                      "GGUF file of the same model in a better format: adds KL "
                                      "divergence and agreement");
  app.add_option("--reference-file", arguments->reference_file,
                 "the same from a file that --save-reference made")
      ->excludes(model);
  app.add_option("--save-reference", arguments->save_reference,
                 "keep this model's probabilities for later runs, about 1 KB per scored token");
  app.add_flag("--json", arguments->json, "print the report as JSON");
  app.footer(
      "\nExamples:\n"
      "  quern perplexity model-q4.gguf wikitext-2-test.txt\n"
      "  quern perplexity model-q4.gguf text.txt --reference model-f16.gguf --windows 100\n"
      "  quern perplexity model-f16.gguf text.txt --save-reference f16.ref\n"
      "  quern perplexity model.gguf text.txt --lora adapter.gguf --reference model.gguf\n"
      "  quern perplexity model-q4.gguf text.txt --reference-file f16.ref --json\n"
      "\nThe text is cut into windows of --context tokens; the second half of each is scored, as\n"
      "llama.cpp's tool does, so the figures compare. \"+/-\" is one standard error. With\n"
      "--reference-file the KL divergence is a lower bound that leaves out what happens among the\n"
      "unlikeliest tokens, which make up a thousandth.\n");
  return [arguments, &process] {
    if (const Status done = perplexity(process, *arguments); !done.ok()) {
      fail(process, done.error());
      return done.error().kind() == ErrorKind::kCancelled ? kExitInterrupted : kExitFailed;
    }
    return kExitDone;
  };
}

}  // namespace quern::cli
