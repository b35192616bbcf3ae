// `quern convert`: published weights to GGUF.
#include "models/convert/llama2c.h"
#include "server/cli/command.h"
#include "server/cli/convert_adapter.h"

namespace quern::cli {

Action define_convert(CLI::App& app, const Process& process) {
  struct Arguments {
    std::string weights;
    std::vector<std::string> rest;
    std::string base;
    convert::Llama2cLabels labels;
  };
  auto arguments = std::make_shared<Arguments>();
  app.add_option("SOURCE", arguments->weights,
                 "llama2.c weights (model.bin, version 0), or a directory with a LoRA adapter as "
                 "peft saves it")
      ->required();
  app.add_option("FILES", arguments->rest,
                 "llama2.c vocabulary (tokenizer.bin), not with an adapter; the GGUF file to write")
      ->required()
      ->type_name("[TOKENIZER] OUT");
  app.add_option("--base", arguments->base,
                 "with an adapter: GGUF file of the model that it was trained on, in any format");
  app.add_option("--name", arguments->labels.name, "general.name [the weights' file name]");
  app.add_option("--license", arguments->labels.license, "general.license, e.g. mit");
  app.footer(
      "\nExamples:\n"
      "  quern convert stories260K.bin tok512.bin stories260K.gguf\n"
      "  quern convert sql-lora/ sql-lora.gguf --base model.gguf\n");
  return [arguments, &process] {
    const bool adapter = is_adapter_directory(arguments->weights);
    const std::string& output = arguments->rest.back();
    if (arguments->rest.size() != (adapter ? 1 : 2)) {
      fail(process, Error(ErrorKind::kInvalidInput,
                          adapter ? "an adapter needs its directory, the file to write and --base"
                                  : "llama2.c weights need their vocabulary and the file to "
                                    "write"));
      return kExitUsage;
    }
    if (adapter) {
      return convert_adapter(process, arguments->weights, arguments->base, output,
                             arguments->labels.name);
    }
    const auto report = convert::convert_llama2c(arguments->weights, arguments->rest.front(),
                                                 output, arguments->labels);
    if (!report.ok()) return fail(process, report.error());
    process.out << "wrote " << output << ": " << report->n_tensors << " tensors, "
                << options::format_bytes(report->file_bytes) << std::endl;
    return kExitDone;
  };
}

}  // namespace quern::cli
