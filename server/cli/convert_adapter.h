// `quern convert ADAPTER_DIR OUT --base BASE`: a LoRA adapter of the peft package to GGUF.
#pragma once

#include <string>

#include "server/cli/command.h"

namespace quern::cli {

// Whether a path is a directory that holds an adapter rather than a model.
bool is_adapter_directory(const std::string& path);

// Converts and reports; the exit code.
int convert_adapter(const Process& process, const std::string& directory, const std::string& base,
                    const std::string& output, const std::string& name);

}  // namespace quern::cli
