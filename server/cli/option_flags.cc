#include "server/cli/option_flags.h"

#include <fstream>
#include <sstream>

namespace quern::cli {
namespace {

Result<options::Settings> read_config_file(const std::string& path, bool required) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    if (!required) return options::Settings{};
    return Error(ErrorKind::kNotFound, "cannot open the configuration file " + path +
                                           "; check the path given with --config");
  }
  std::ostringstream text;
  text << in.rdbuf();
  return options::parse_config_file(text.str(), path);
}

}  // namespace

OptionFlags::OptionFlags(CLI::App& app, options::Command command) {
  for (const options::OptionInfo& info : options::all_options()) {
    if ((info.commands & command) == 0) continue;
    auto slot = std::make_unique<Slot>();
    slot->field = std::string(info.field);
    slot->is_switch = info.is_switch;
    std::string names = info.flag;
    if (info.letter != 0) names = std::string("-") + info.letter + "," + names;
    std::string help(info.help);
    if (!info.is_switch && !info.fallback.empty()) help += " [" + info.fallback + "]";
    if (info.is_switch) {
      slot->option = app.add_flag(names, slot->on, help);
    } else {
      slot->option = app.add_option(names, slot->texts, help)->expected(1)->allow_extra_args(false);
      slot->option->type_name("")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
    slots_.push_back(std::move(slot));
  }
  app.add_option("--config", config_file_,
                 "configuration file (TOML) [quern.toml in the configuration directory]")
      ->type_name("FILE");
}

void OptionFlags::set(std::string_view field, std::string value) {
  extra_[std::string(field)] = std::move(value);
}

Result<options::Resolved> OptionFlags::resolve(const Process& process) const {
  options::Sources sources;
  sources.environment = process.environment;
  std::string path = config_file_;
  if (path.empty()) {
    const auto profile = hardware::profile_path(process.config_home);
    if (profile.ok()) path = (profile->parent_path() / "quern.toml").string();
  }
  if (!path.empty()) {
    QUERN_ASSIGN_OR_RETURN(sources.file, read_config_file(path, !config_file_.empty()));
    sources.file_label = path;
  }
  for (const auto& slot : slots_) {
    if (slot->option->count() == 0) continue;
    if (slot->is_switch) {
      sources.flags[slot->field] = slot->on ? "true" : "false";
      continue;
    }
    std::string joined;
    for (const std::string& text : slot->texts) {
      if (!joined.empty()) joined += ',';
      joined += text;
    }
    sources.flags[slot->field] = joined;
  }
  for (const auto& [field, value] : extra_) sources.flags[field] = value;
  return options::resolve(sources);
}

}  // namespace quern::cli
