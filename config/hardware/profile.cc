#include "config/hardware/profile.h"

#include <array>
#include <fstream>
#include <sstream>

#include "config/hardware/cpu_probe.h"
#include "config/hardware/gpu_probe.h"

namespace quern::hardware {
namespace {

struct IsaName {
  Isa isa;
  std::string_view name;
};

constexpr std::array kIsaNames = {
#define QUERN_ISA(id, name, summary) IsaName{Isa::id, name},
#include "config/hardware/isa_list.inc"
#undef QUERN_ISA
};
static_assert(kIsaNames.size() == static_cast<size_t>(Isa::kCount));
static_assert(kIsaNames.size() <= 32, "IsaMask holds 32 bits");

}  // namespace

std::string_view isa_name(Isa isa) { return kIsaNames[static_cast<size_t>(isa)].name; }

std::string IsaMask::to_string() const {
  std::string text;
  for (const IsaName& entry : kIsaNames) {
    if (!contains(entry.isa)) continue;
    if (!text.empty()) text += ' ';
    text += entry.name;
  }
  return text.empty() ? "none" : text;
}

HardwareProfile probe_hardware() {
  HardwareProfile profile;
  profile.cpu = probe_cpu();
  profile.memory = probe_memory();
  profile.gpus = probe_gpus();
  return profile;
}

Result<std::filesystem::path> profile_path(const ConfigHome& home) {
  namespace fs = std::filesystem;
  if (!home.quern_config_dir.empty()) return fs::path(home.quern_config_dir) / "hardware.json";
  if (!home.xdg_config_home.empty()) {
    return fs::path(home.xdg_config_home) / "quern" / "hardware.json";
  }
  if (!home.home.empty()) return fs::path(home.home) / ".config" / "quern" / "hardware.json";
  return Error(ErrorKind::kNotFound,
               "no configuration directory: none of QUERN_CONFIG_DIR, XDG_CONFIG_HOME and HOME is "
               "set; set one of them");
}

LoadedProfile load_profile(const std::filesystem::path& path) {
  LoadedProfile loaded;
  loaded.profile = probe_hardware();
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    loaded.note = "not measured yet (run `quern hardware measure`)";
    return loaded;
  }
  std::ostringstream text;
  text << in.rdbuf();
  auto saved = profile_from_json(text.str());
  if (!saved.ok()) {
    loaded.note = path.string() + " was set aside: " + saved.error().message();
    return loaded;
  }
  if (saved->cpu.model != loaded.profile.cpu.model) {
    loaded.note = path.string() + " was set aside: it was measured on \"" + saved->cpu.model +
                  "\"; run `quern hardware measure`";
    return loaded;
  }
  loaded.profile.measured = saved->measured;
  loaded.profile.tuned = saved->tuned;
  loaded.note = "measured " + saved->measured.date;
  return loaded;
}

Status save_profile(const HardwareProfile& profile, const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return Error(ErrorKind::kIo, "cannot create the directory " + path.parent_path().string() +
                                     ": " + error.message());
  }
  std::filesystem::path partial = path;
  partial += ".partial";
  {
    std::ofstream out(partial, std::ios::binary | std::ios::trunc);
    out << profile_to_json(profile) << '\n';
    if (!out.flush()) {
      return Error(ErrorKind::kIo, "cannot write " + partial.string() +
                                       ": check that the disk has room and the directory is yours");
    }
  }
  std::filesystem::rename(partial, path, error);
  if (error) {
    return Error(ErrorKind::kIo, "cannot rename " + partial.string() + " to " + path.string() +
                                     ": " + error.message());
  }
  return ok_status();
}

}  // namespace quern::hardware
