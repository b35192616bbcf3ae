// The top of the command line: subcommand table, version, help, exit codes.
#include "server/cli/command.h"

#include <array>
#include <optional>

namespace quern::cli {
namespace {

constexpr std::array kCommands = {
#define QUERN_COMMAND(name, function, summary) CommandInfo{name, summary, &function},
#include "server/cli/command_list.inc"
#undef QUERN_COMMAND
};

constexpr std::string_view kExamples =
    "\nExamples:\n"
    "  quern serve                          serve the embedded demo model on 127.0.0.1:8080\n"
    "  quern serve -m model.gguf -p 16      serve a file with 16 sequences at once\n"
    "  quern run \"Once upon a time\"         answer one prompt\n"
    "  quern hardware measure               measure this machine, used to choose kernels\n"
    "\n`quern COMMAND --help` explains a command. Every option can also be set by an environment\n"
    "variable (--max-sequences is QUERN_MAX_SEQUENCES) or in the configuration file.\n";

// A first word that is no command, or nothing.
std::optional<std::string> unknown_command(int argc, const char* const* argv) {
  if (argc < 2) return std::nullopt;
  const std::string_view word = argv[1];
  if (word.empty() || word.front() == '-') return std::nullopt;
  for (const CommandInfo& command : kCommands) {
    if (command.name == word) return std::nullopt;
  }
  return std::string(word);
}

}  // namespace

int fail(const Process& process, const Error& error) {
  process.err << "quern: " << error.message() << std::endl;
  return kExitFailed;
}

int run_command_line(int argc, const char* const* argv, const Process& process) {
  if (const auto word = unknown_command(argc, argv)) {
    process.err << "quern: there is no command \"" << *word << "\"; `quern --help` lists them"
                << std::endl;
    return kExitUsage;
  }
  CLI::App app("Quern: a local inference server for quantized language models", "quern");
  app.set_version_flag("--version", "quern " QUERN_VERSION);
  app.require_subcommand(1);
  app.footer(std::string(kExamples));
  Action chosen;
  for (const CommandInfo& command : kCommands) {
    CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.summary));
    Action action = command.define(*sub, process);
    sub->callback([&chosen, action] { chosen = action; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done, process.out, process.err);
  } catch (const CLI::ParseError& error) {
    process.err << "quern: " << error.what() << "\nRun with --help for usage." << std::endl;
    return kExitUsage;
  }
  CHECK(chosen != nullptr);
  return chosen();
}

}  // namespace quern::cli
