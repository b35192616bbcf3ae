// `quern convert`: published weights to GGUF.
#include "models/convert/llama2c.h"

#include <array>
#include <filesystem>

#include "config/base/json.h"
#include "models/convert/huggingface/convert_folder.h"
#include "models/gguf/name_rules.h"
#include "server/cli/command.h"
#include "server/cli/convert_adapter.h"
#include "server/cli/interrupt.h"
#include "server/cli/progress.h"

namespace quern::cli {
namespace {

struct ConvertArguments {
  std::array<std::string, 3> paths;  // the third may be empty
  std::string type;
  std::string name;
  std::string license;
  std::string base;
  int threads = 0;
  bool json = false;
};

int convert_pair(const Process& process, const ConvertArguments& arguments) {
  const auto& paths = arguments.paths;
  const auto report =
      convert::convert_llama2c(paths[0], paths[1], paths[2], {arguments.name, arguments.license});
  if (!report.ok()) return fail(process, report.error());
  if (arguments.json) {
    const Json summary = {{"output", paths[2]},
                          {"architecture", "llama"},
                          {"tensors", report->n_tensors},
                          {"output_bytes", report->file_bytes}};
    process.out << dump_json(summary, 2) << std::endl;
    return kExitDone;
  }
  process.out << "wrote " << paths[2] << ": " << report->n_tensors << " tensors, "
              << options::format_bytes(report->file_bytes) << std::endl;
  return kExitDone;
}

Result<huggingface::ConvertChoices> read_choices(const ConvertArguments& arguments) {
  huggingface::ConvertChoices choices;
  choices.name = arguments.name;
  choices.license = arguments.license;
  if (arguments.type.empty()) return choices;
  choices.recipe = convert::find_recipe(arguments.type);
  if (choices.recipe != nullptr) return choices;
  return Error(ErrorKind::kInvalidInput, "there is no recipe \"" + gguf::printable(arguments.type) +
                                             "\"; expected one of " + convert::recipe_names());
}

void print_summary(const Process& process, const ConvertArguments& arguments,
                   const huggingface::ConvertSummary& summary) {
  if (arguments.json) {
    const Json json = {{"input", arguments.paths[0]},          {"output", arguments.paths[1]},
                       {"architecture", summary.architecture}, {"recipe", summary.recipe},
                       {"quantized_by", summary.quantization}, {"tensors", summary.n_tensors},
                       {"weights", summary.n_weights},         {"tokens", summary.n_tokens},
                       {"output_bytes", summary.file_bytes},   {"notes", summary.notes}};
    process.out << dump_json(json, 2) << std::endl;
    return;
  }
  const std::string from =
      summary.quantization.empty() ? "" : ", decoded from " + summary.quantization;
  process.out << "wrote " << arguments.paths[1] << ": " << summary.architecture << ", "
              << summary.n_tensors << " tensors as " << summary.recipe << from << ", "
              << options::format_bytes(summary.file_bytes) << std::endl;
}

int convert_checkpoint(const Process& process, const ConvertArguments& arguments) {
  auto choices = read_choices(arguments);
  if (!choices.ok()) return fail(process, choices.error());
  const hardware::HardwareProfile profile = hardware::probe_hardware();
  choices->options.threads =
      arguments.threads > 0 ? arguments.threads : profile.cpu.logical_processors;
  choices->options.isa = profile.cpu.isa;
  Result<huggingface::ConvertSummary> summary = [&] {
    Progress progress(process, "converting");
    choices->options.progress = [&](uint64_t done, uint64_t total) { progress.show(done, total); };
    const Interrupt interrupt;
    choices->options.stop = &interrupt.flag();
    return huggingface::convert_folder(arguments.paths[0], arguments.paths[1], *choices);
  }();
  if (!summary.ok()) {
    fail(process, summary.error());
    return summary.error().kind() == ErrorKind::kCancelled ? kExitInterrupted : kExitFailed;
  }
  for (const std::string& note : summary->notes) process.err << "note: " << note << std::endl;
  print_summary(process, arguments, *summary);
  return kExitDone;
}

int run_convert(const Process& process, const ConvertArguments& arguments) {
  const std::string& in = arguments.paths[0];
  std::error_code unknown;
  const bool is_folder = std::filesystem::is_directory(in, unknown);
  const bool is_pair = !arguments.paths[2].empty();
  if (is_folder && is_pair) {
    process.err << "quern: \"" << in << "\" is a folder; expected: quern convert FOLDER OUT"
                << std::endl;
    return kExitUsage;
  }
  if (!is_folder && !is_pair) {
    process.err << "quern: \"" << in
                << "\" is no folder; expected the folder of a Hugging Face model, or the two files "
                   "of a llama2.c model: quern convert WEIGHTS TOKENIZER OUT"
                << std::endl;
    return kExitUsage;
  }
  if (is_folder && is_adapter_directory(in)) {
    return convert_adapter(process, in, arguments.base, arguments.paths[1], arguments.name);
  }
  if (!arguments.base.empty()) {
    process.err << "quern: --base is for the folder of an adapter, and \"" << in
                << "\" has no adapter_config.json" << std::endl;
    return kExitUsage;
  }
  if (is_folder) return convert_checkpoint(process, arguments);
  if (arguments.type.empty()) return convert_pair(process, arguments);
  process.err << "quern: --type is for folders; a llama2.c model becomes F32, which `quern "
                 "quantize` takes"
              << std::endl;
  return kExitUsage;
}

}  // namespace

Action define_convert(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<ConvertArguments>();
  app.add_option(
         "IN", arguments->paths[0],
         "the folder of a Hugging Face model (config.json, *.safetensors, tokenizer.json or "
         "tokenizer.model) or of a LoRA adapter as peft saves it, or the weights of a llama2.c "
         "model (model.bin, version 0)")
      ->required();
  app.add_option("OUT_OR_TOKENIZER", arguments->paths[1],
                 "with a folder: the GGUF file to write; else the vocabulary (tokenizer.bin)")
      ->required();
  app.add_option("OUT", arguments->paths[2], "without a folder: the GGUF file to write");
  app.add_option("--type", arguments->type,
                 "how to store the matrices [the 16-bit type or F32 that they come in]: one of " +
                     convert::recipe_names());
  app.add_option("--base", arguments->base,
                 "with an adapter: GGUF file of the model that it was trained on, in any format");
  app.add_option("--name", arguments->name, "general.name [the name of the folder or file]");
  app.add_option("--license", arguments->license, "general.license, e.g. mit");
  app.add_option("-t,--threads", arguments->threads, "threads to use [one per logical processor]")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--json", arguments->json, "print the summary as JSON");
  app.footer(
      "\nWeights that are quantized (FP8, AWQ, GPTQ, bitsandbytes) are decoded exactly and stored\n"
      "in the type asked for.\n"
      "\nExamples:\n"
      "  quern convert Qwen3-0.6B qwen3-0.6b.gguf\n"
      "  quern convert --type Q4_K_M --license apache-2.0 Qwen3-0.6B qwen3-0.6b-q4km.gguf\n"
      "  quern convert sql-lora/ sql-lora.gguf --base model.gguf\n"
      "  quern convert stories260K.bin tok512.bin stories260K.gguf\n");
  return [arguments, &process] { return run_convert(process, *arguments); };
}

}  // namespace quern::cli
