// `quern synth`: random-weight models for benchmarks.
#include "models/convert/synth.h"
#include "server/cli/command.h"
#include "server/cli/progress.h"

namespace quern::cli {
namespace {

struct SynthArguments {
  convert::SynthOptions options;
  std::string out;
};

int synth(const Process& process, SynthArguments& arguments) {
  convert::SynthOptions& options = arguments.options;
  if (options.threads == 0) options.threads = hardware::probe_hardware().cpu.physical_cores;
  Progress progress(process, "writing");
  options.progress = [&](uint64_t done, uint64_t total) { progress.show(done, total); };
  const auto report = convert::write_synthetic_model(options, arguments.out);
  if (!report.ok()) return fail(process, report.error());
  process.out << "wrote " << arguments.out << ": " << report->name << ", " << report->n_parameters
              << " random parameters in " << report->n_tensors << " tensors, "
              << options::format_bytes(report->tensor_bytes) << std::endl;
  return kExitDone;
}

}  // namespace

Action define_synth(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<SynthArguments>();
  convert::SynthOptions& options = arguments->options;
  options.threads = 0;
  app.add_option("SHAPE", options.shape, "one of " + convert::synth_shape_names())->required();
  app.add_option("FORMAT", options.format,
                 "file recipe such as Q4_K_M, or tensor format such as Q4_K for every matrix")
      ->required();
  app.add_option("OUT", arguments->out, "GGUF file to write")->required();
  app.add_option("-s,--seed", options.seed, "seed of the weights")->capture_default_str();
  app.add_flag("--pure", options.pure,
               "take FORMAT as a tensor format even if a recipe has its name");
  app.add_option("-t,--threads", options.threads, "threads to use [one per physical core]")
      ->check(CLI::Range(1, 1024));
  app.footer(
      "\nExamples:\n"
      "  quern synth tinyllama-1.1b Q4_K_M tiny-q4km.gguf\n"
      "  quern synth qwen2.5-0.5b Q8_0 qwen.gguf && quern bench qwen.gguf\n"
      "\nThe weights are noise of believable size: speed is that of the real model, text is "
      "not.\n");
  return [arguments, &process] { return synth(process, *arguments); };
}

}  // namespace quern::cli
