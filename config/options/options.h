// Every setting of the program as one typed struct, resolved from defaults < configuration file <
// environment < command line. option_list.inc is the single list.
//
// Values arrive as text and are parsed and range-checked here, whatever their source; an error
// names the source, the option, the value and what was expected. Reads no environment and no file
// by itself: the caller passes both in.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"

namespace quern::options {

using Text = std::string;
using TextList = std::vector<std::string>;
using Whole = int64_t;
using Real = double;
using Switch = bool;
// A count of bytes; a type of its own so that it is parsed as "8GiB".
struct Bytes {
  int64_t count = 0;
};

// Commands an option belongs to, as bits.
enum Command : uint32_t { kServe = 1, kRun = 2, kModelFile = 4, kBench = 8, kFit = 16 };

struct Options {
#define QUERN_OPTION(field, type, letter, fallback, check, commands, help) type field{};
#include "config/options/option_list.inc"
#undef QUERN_OPTION
};

struct OptionInfo {
  std::string_view field;  // "max_sequences"
  std::string flag;        // "--max-sequences"
  char letter;             // 'p', or 0
  std::string variable;    // "QUERN_MAX_SEQUENCES"
  uint32_t commands;
  bool is_switch;
  std::string fallback;  // as text; empty for "none"
  std::string expected;  // "a whole number from 1 to 256"
  std::string_view help;
};

std::span<const OptionInfo> all_options();

// Settings as text by field name.
using Settings = std::map<std::string, std::string, std::less<>>;

struct Sources {
  std::string file_label;  // for messages: path of the configuration file
  Settings file;
  Settings environment;  // already mapped from variable names to fields
  Settings flags;
};

struct Resolved {
  Options options;
  // field -> "default", "file PATH", "environment NAME" or "command line".
  std::map<std::string, std::string, std::less<>> origin;
};

// Applies the sources in order. Keys that are no option are an error naming the nearest one.
Result<Resolved> resolve(const Sources& sources);

// Top-level keys of a TOML document as settings; tables and unknown value kinds are an error with
// the line.
Result<Settings> parse_config_file(std::string_view text, std::string_view label);

// "8GiB", "512 MB", "1073741824": binary units with i, decimal without.
Result<int64_t> parse_bytes(std::string_view text);
// "1.5 GiB" for people.
std::string format_bytes(uint64_t bytes);

}  // namespace quern::options
