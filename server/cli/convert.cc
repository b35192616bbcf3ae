// `quern convert`: published weights to GGUF.
#include "models/convert/llama2c.h"
#include "server/cli/command.h"

namespace quern::cli {

Action define_convert(CLI::App& app, const Process& process) {
  struct Arguments {
    std::string weights;
    std::string tokenizer;
    std::string output;
    convert::Llama2cLabels labels;
  };
  auto arguments = std::make_shared<Arguments>();
  app.add_option("WEIGHTS", arguments->weights, "llama2.c weights (model.bin, version 0)")
      ->required();
  app.add_option("TOKENIZER", arguments->tokenizer, "llama2.c vocabulary (tokenizer.bin)")
      ->required();
  app.add_option("OUT", arguments->output, "GGUF file to write")->required();
  app.add_option("--name", arguments->labels.name, "general.name [the weights' file name]");
  app.add_option("--license", arguments->labels.license, "general.license, e.g. mit");
  app.footer("\nExample:\n  quern convert stories260K.bin tok512.bin stories260K.gguf\n");
  return [arguments, &process] {
    const auto report = convert::convert_llama2c(arguments->weights, arguments->tokenizer,
                                                 arguments->output, arguments->labels);
    if (!report.ok()) return fail(process, report.error());
    process.out << "wrote " << arguments->output << ": " << report->n_tensors << " tensors, "
                << options::format_bytes(report->file_bytes) << std::endl;
    return kExitDone;
  };
}

}  // namespace quern::cli
