// `quern imatrix`: how much each column of a model's matrices matters, from a text.
#include <algorithm>
#include <filesystem>

#include "config/base/digest.h"
#include "config/base/mapped_file.h"
#include "kernels/cpu/cpu_backend.h"
#include "models/calibrate/collect_importance.h"
#include "server/cli/command.h"
#include "server/cli/interrupt.h"
#include "server/cli/progress.h"

namespace quern::cli {
namespace {

struct ImatrixArguments {
  std::string model;
  std::string text;
  std::string out;
  int chunk_tokens = 512;
  uint32_t max_chunks = 0;
  int threads = 0;
};

Result<std::string> read_text(const std::string& path) {
  QUERN_ASSIGN_OR_RETURN(const auto file, MappedFile::open(path));
  const auto bytes = file->bytes();
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!file->poisoned()) return text;
  return went_away(path);
}

// The sums in the output file when it belongs to the same text and chunks, else empty ones.
Result<convert::ImportanceSums> sums_to_go_on_with(const ImatrixArguments& arguments,
                                                   const std::string& text) {
  convert::ImportanceSums fresh;
  fresh.chunk_tokens = static_cast<uint32_t>(arguments.chunk_tokens);
  fresh.dataset = std::filesystem::path(arguments.text).filename().string();
  fresh.text_digest = sha256_hex(text);
  if (!std::filesystem::exists(arguments.out)) return fresh;
  QUERN_ASSIGN_OR_RETURN(convert::ImportanceSums sums,
                         convert::read_importance_sums(arguments.out));
  if (sums.text_digest != fresh.text_digest || sums.chunk_tokens != fresh.chunk_tokens) {
    return Error(ErrorKind::kInvalidInput,
                 arguments.out +
                     ": is there already and was made from another text or with another --chunk; "
                     "name another output, or remove it");
  }
  sums.dataset = fresh.dataset;
  return sums;
}

void warn_of_unused(const Process& process, const std::vector<std::string>& matrices) {
  if (matrices.empty()) return;
  constexpr size_t kShown = 8;
  process.err << "note: no token of the text went into " << matrices.size()
              << " matrices of experts (";
  for (size_t i = 0; i < std::min(matrices.size(), kShown); ++i) {
    process.err << (i > 0 ? ", " : "") << matrices[i];
  }
  process.err << (matrices.size() > kShown ? ", ..." : "")
              << "): quantizing takes their columns to count alike; a longer or more varied text "
                 "reaches more"
              << std::endl;
}

Status make_imatrix(const Process& process, const ImatrixArguments& arguments) {
  QUERN_ASSIGN_OR_RETURN(const std::string text, read_text(arguments.text));
  QUERN_ASSIGN_OR_RETURN(convert::ImportanceSums sums, sums_to_go_on_with(arguments, text));
  const auto path = hardware::profile_path(process.config_home);
  const hardware::HardwareProfile profile =
      path.ok() ? hardware::load_profile(*path).profile : hardware::probe_hardware();
  QUERN_ASSIGN_OR_RETURN(const auto backend,
                         cpu::create_cpu_backend({profile, arguments.threads, {}, ""}));
  QUERN_ASSIGN_OR_RETURN(auto file, gguf::GgufFile::open(arguments.model));
  loader::LoadOptions load_options;
  load_options.context_length = arguments.chunk_tokens;
  QUERN_ASSIGN_OR_RETURN(const auto model,
                         loader::Model::load(std::move(file), *backend, load_options));
  QUERN_ASSIGN_OR_RETURN(const auto tokens,
                         calibrate::calibration_tokens(model->tokenizer(), text));
  calibrate::CollectOptions options;
  options.chunk_tokens = arguments.chunk_tokens;
  options.max_chunks = arguments.max_chunks;
  const uint32_t n_chunks = calibrate::chunks_of(tokens.size(), options);
  if (n_chunks == 0) {
    return Error(ErrorKind::kInvalidInput,
                 arguments.text + ": has " + std::to_string(tokens.size()) +
                     " tokens, expected at least the " + std::to_string(arguments.chunk_tokens) +
                     " of one chunk: use a longer text, or --chunk");
  }
  if (sums.n_chunks > 0) {
    process.err << "note: going on after chunk " << sums.n_chunks << " of " << n_chunks
                << std::endl;
  }
  Progress progress(process, "reading");
  const Interrupt interrupt;
  options.stop = &interrupt.flag();
  options.progress = [&](uint64_t done, uint64_t total) { progress.show(done, total); };
  options.save = [&] { return convert::write_importance_sums(sums, arguments.out); };
  QUERN_RETURN_IF_ERROR(calibrate::collect_importance(*backend, *model, tokens, options, sums));
  process.out << "wrote " << arguments.out << ": " << sums.entries.size() << " matrices, from "
              << sums.n_chunks << " chunks of " << sums.chunk_tokens << " tokens" << std::endl;
  warn_of_unused(process, calibrate::matrices_without_input(sums));
  return ok_status();
}

}  // namespace

Action define_imatrix(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<ImatrixArguments>();
  app.add_option("MODEL", arguments->model, "GGUF file, best the one that will be quantized")
      ->required();
  app.add_option("TEXT", arguments->text, "text such as the model is meant for")->required();
  app.add_option("-o,--out", arguments->out,
                 "importance matrix to write; one from the same text is gone on with")
      ->required();
  app.add_option("--chunk", arguments->chunk_tokens, "tokens read at once")
      ->check(CLI::Range(16, 65536))
      ->capture_default_str();
  app.add_option("--max-chunks", arguments->max_chunks, "stop after so many [all of the text]")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("-t,--threads", arguments->threads, "threads to use [one per physical core]")
      ->check(CLI::Range(1, 1024));
  app.footer(
      "\nExample:\n"
      "  quern imatrix model-f16.gguf text.txt -o model.imatrix\n"
      "  quern quantize --imatrix model.imatrix model-f16.gguf model-iq3.gguf IQ3_M\n"
      "\nThe file's layout is that of llama-imatrix, and either program reads the other's.\n");
  return [arguments, &process] {
    const Status made = make_imatrix(process, *arguments);
    if (made.ok()) return kExitDone;
    fail(process, made.error());
    return made.error().kind() == ErrorKind::kCancelled ? kExitInterrupted : kExitFailed;
  };
}

}  // namespace quern::cli
