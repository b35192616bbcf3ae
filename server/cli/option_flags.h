// Declares the options of config/options on a subcommand and resolves them.
#pragma once

#include <memory>

#include "server/cli/command.h"

namespace quern::cli {

// Texts of the flags the user gave; filled while the command line is parsed.
class OptionFlags {
 public:
  // Adds every option that belongs to `command`, plus --config FILE.
  OptionFlags(CLI::App& app, options::Command command);

  // A value given another way (a positional argument); counts as the command line.
  void set(std::string_view field, std::string value);
  // Defaults < configuration file < environment < flags.
  Result<options::Resolved> resolve(const Process& process) const;

 private:
  struct Slot {
    std::string field;
    std::string text;
    std::vector<std::string> texts;
    bool on = false;
    CLI::Option* option = nullptr;
    bool is_switch = false;
  };
  std::vector<std::unique_ptr<Slot>> slots_;
  options::Settings extra_;
  std::string config_file_;
};

}  // namespace quern::cli
