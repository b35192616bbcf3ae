// `quern hardware show` and `quern hardware measure`.
#include <iomanip>
#include <sstream>

#include "server/cli/ceilings.h"
#include "server/cli/command.h"

namespace quern::cli {
namespace {

std::string figure(double value, std::string_view unit) {
  if (value <= 0) return "not measured";
  std::ostringstream out;
  out << std::fixed << std::setprecision(value < 10 ? 2 : 1) << value << ' ' << unit;
  return out.str();
}

void line(std::ostream& out, std::string_view name, const std::string& value) {
  out << "  " << std::left << std::setw(24) << name << value << '\n';
}

std::string caches_text(const hardware::CpuInfo& cpu) {
  std::string text;
  for (const hardware::CacheInfo& cache : cpu.caches) {
    if (cache.type == "instruction") continue;
    if (!text.empty()) text += ", ";
    text += "L" + std::to_string(cache.level) + " " + options::format_bytes(cache.bytes);
    if (cache.shared_by > 1) text += " (shared by " + std::to_string(cache.shared_by) + ")";
  }
  return text.empty() ? "unknown" : text;
}

void print_profile(std::ostream& out, const hardware::HardwareProfile& profile,
                   const std::string& note, const std::string& path) {
  const hardware::CpuInfo& cpu = profile.cpu;
  out << "Processor\n";
  line(out, "model", cpu.model);
  line(out, "instruction sets", cpu.isa.to_string());
  if (!cpu.isa_note.empty()) line(out, "not usable", cpu.isa_note);
  line(out, "cores",
       std::to_string(cpu.physical_cores) + " physical, " + std::to_string(cpu.logical_processors) +
           " logical processors usable here");
  line(out, "caches", caches_text(cpu));
  line(out, "NUMA nodes", std::to_string(cpu.numa_nodes));
  out << "Memory\n";
  line(out, "total", options::format_bytes(profile.memory.total_bytes));
  line(out, "available", options::format_bytes(profile.memory.available_bytes));
  out << "GPUs\n";
  if (profile.gpus.empty()) line(out, "none", "");
  for (const hardware::GpuInfo& gpu : profile.gpus) {
    line(out, gpu.name, gpu.memory_bytes > 0 ? options::format_bytes(gpu.memory_bytes) : "");
  }
  const hardware::Measured& m = profile.measured;
  out << "Ceilings (" << note << ")\n";
  line(out, "memory read", figure(m.read_bandwidth_gbs, "GB/s"));
  line(out, "mapped file read", figure(m.mapped_read_bandwidth_gbs, "GB/s"));
  line(out, "int8 multiply-add", figure(m.int8_tops, "T operations/s"));
  if (m.int8_tile_tops > 0) line(out, "int8 by tiles", figure(m.int8_tile_tops, "T operations/s"));
  line(out, "f32 multiply-add", figure(m.f32_tflops, "TFLOP/s"));
  if (m.threads > 0) line(out, "threads", std::to_string(m.threads));
  if (!profile.tuned.empty()) {
    out << "Fastest kernel rows (measured)\n";
    for (const auto& [key, row] : profile.tuned) line(out, key, row);
  }
  line(out, "kept in", path);
}

int show(const Process& process, bool json) {
  const auto path = hardware::profile_path(process.config_home);
  hardware::LoadedProfile loaded;
  if (path.ok()) {
    loaded = hardware::load_profile(*path);
  } else {
    loaded = {hardware::probe_hardware(), path.error().message()};
  }
  if (json) {
    process.out << hardware::profile_to_json(loaded.profile) << std::endl;
    return kExitDone;
  }
  print_profile(process.out, loaded.profile, loaded.note,
                path.ok() ? path->string() : "nowhere: " + path.error().message());
  process.out.flush();
  return kExitDone;
}

int measure(const Process& process, int threads, bool json) {
  const auto path = hardware::profile_path(process.config_home);
  if (!path.ok()) return fail(process, path.error());
  hardware::LoadedProfile loaded = hardware::load_profile(*path);
  if (const Status done = measure_machine(process, threads, loaded.profile); !done.ok()) {
    return fail(process, done.error());
  }
  if (const Status saved = hardware::save_profile(loaded.profile, *path); !saved.ok()) {
    return fail(process, saved.error());
  }
  return show(process, json);
}

}  // namespace

Action define_hardware(CLI::App& app, const Process& process) {
  struct Arguments {
    std::string verb = "show";
    int threads = 0;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  app.add_option("VERB", arguments->verb, "show (the default) or measure")
      ->check(CLI::IsMember({"show", "measure"}));
  app.add_option("-t,--threads", arguments->threads,
                 "threads to measure with [one per physical core]")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--json", arguments->json, "print the profile as JSON");
  app.footer(
      "\nExamples:\n"
      "  quern hardware show\n"
      "  quern hardware measure        takes a few seconds; keeps the result for the planner\n"
      "  quern hardware show --json\n");
  return [arguments, &process] {
    return arguments->verb == "measure" ? measure(process, arguments->threads, arguments->json)
                                        : show(process, arguments->json);
  };
}

}  // namespace quern::cli
