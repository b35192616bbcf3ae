// The program: reads the environment once, ignores the signals that tell of failed writes, hands
// over to the command line.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "server/cli/command.h"

namespace {

std::string environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::string() : std::string(value);
}

// Source: XDG Base Directory Specification.
std::string cache_home() {
  const std::string named = environment("XDG_CACHE_HOME");
  const std::string home = environment("HOME");
  return !named.empty() || home.empty() ? named : home + "/.cache";
}

}  // namespace

int main(int argc, char** argv) {
  // A client that hangs up, and a file that may not grow, must show as a failed write, not end the
  // process.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  quern::cli::Process process{
      std::cout,
      std::cerr,
      isatty(STDOUT_FILENO) == 1,
      isatty(STDERR_FILENO) == 1,
      {environment("QUERN_CONFIG_DIR"), environment("XDG_CONFIG_HOME"), environment("HOME")},
      cache_home(),
      {}};
  for (const quern::options::OptionInfo& option : quern::options::all_options()) {
    if (const char* value = std::getenv(option.variable.c_str()); value != nullptr) {
      process.environment[std::string(option.field)] = value;
    }
  }
  return quern::cli::run_command_line(argc, argv, process);
}
