// A subcommand: what it is called, how its arguments are declared, what it does.
//
// command_list.inc is the single list. A command declares its arguments on a CLI::App and hands
// back the action to run; it prints to Process::out and Process::err only and returns the exit code
// (0 done, 1 failed, 2 bad usage).
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "config/hardware/profile.h"
#include "config/options/options.h"

namespace quern::cli {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// What the process was given by its surroundings, read once in main.
struct Process {
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  hardware::ConfigHome config_home;
  std::string cache_home;         // the user's cache directory; empty: not known
  options::Settings environment;  // QUERN_* variables by option field
};

using Action = std::function<int()>;

struct CommandInfo {
  std::string_view name;
  std::string_view summary;
  Action (*define)(CLI::App& app, const Process& process);
};

#define QUERN_COMMAND(name, function, summary) \
  Action function(CLI::App& app, const Process& process);
#include "server/cli/command_list.inc"
#undef QUERN_COMMAND

// Prints "quern: <sentence>" to standard error and returns kExitFailed.
int fail(const Process& process, const Error& error);

// Runs the command line; argv as in main.
int run_command_line(int argc, const char* const* argv, const Process& process);

}  // namespace quern::cli
