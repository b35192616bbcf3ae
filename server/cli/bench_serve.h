// `quern bench serve URL`: load on a server of the OpenAI form, ours or another, and what its
// clients see of it.
#pragma once

#include "server/cli/command.h"

namespace quern::cli {

// For the subcommand of `bench`.
Action define_bench_serve(CLI::App& app, const Process& process);

}  // namespace quern::cli
