#include "server/cli/convert_adapter.h"

#include <filesystem>
#include <system_error>

#include "models/convert/huggingface/peft_adapter.h"

namespace quern::cli {

bool is_adapter_directory(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::path(path) / "adapter_config.json", error);
}

int convert_adapter(const Process& process, const std::string& directory, const std::string& base,
                    const std::string& output, const std::string& name) {
  if (base.empty()) {
    fail(process, Error(ErrorKind::kInvalidInput,
                        directory + " holds an adapter; name the GGUF file of the model that it "
                                    "was trained on with --base"));
    return kExitUsage;
  }
  const auto report = huggingface::convert_peft_adapter(directory, base, output, name);
  if (!report.ok()) return fail(process, report.error());
  process.out << "wrote " << output << ": LoRA adapter for " << report->architecture << ", "
              << report->n_matrices << " matrices, " << options::format_bytes(report->file_bytes)
              << std::endl;
  return kExitDone;
}

}  // namespace quern::cli
