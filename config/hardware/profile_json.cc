// The profile as readable JSON: what is written, and a strict reading of what was measured.
#include "config/base/json.h"
#include "config/hardware/profile.h"

namespace quern::hardware {
namespace {

constexpr int kProfileVersion = 1;

Json cpu_json(const CpuInfo& cpu) {
  Json caches = Json::array();
  for (const CacheInfo& cache : cpu.caches) {
    caches.push_back({{"level", cache.level},
                      {"type", cache.type},
                      {"bytes", cache.bytes},
                      {"line_bytes", cache.line_bytes},
                      {"shared_by", cache.shared_by}});
  }
  Json isa = Json::array();
  for (uint32_t i = 0; i < static_cast<uint32_t>(Isa::kCount); ++i) {
    const Isa bit = static_cast<Isa>(i);
    if (cpu.isa.contains(bit)) isa.push_back(std::string(isa_name(bit)));
  }
  return {{"vendor", cpu.vendor},
          {"model", cpu.model},
          {"instruction_sets", isa},
          {"logical_processors", cpu.logical_processors},
          {"physical_cores", cpu.physical_cores},
          {"caches", caches},
          {"numa_nodes", cpu.numa_nodes}};
}

Error malformed(std::string_view field, std::string_view expected) {
  return Error(ErrorKind::kInvalidInput, "field \"" + std::string(field) + "\" is not " +
                                             std::string(expected) +
                                             "; run `quern hardware measure` to write it anew");
}

// A number at object[key]; absent is 0, anything but a finite number >= 0 is an error.
Result<double> read_number(const Json& object, const char* key, const std::string& path) {
  const auto it = object.find(key);
  if (it == object.end()) return 0.0;
  if (!it->is_number()) return malformed(path + "." + key, "a number");
  const double value = it->get<double>();
  if (!(value >= 0 && value < 1e12)) return malformed(path + "." + key, "a number from 0 to 1e12");
  return value;
}

Result<std::string> read_text(const Json& object, const char* key, const std::string& path) {
  const auto it = object.find(key);
  if (it == object.end()) return std::string();
  if (!it->is_string()) return malformed(path + "." + key, "a string");
  return it->get<std::string>();
}

Result<Measured> read_measured(const Json& object) {
  const std::string path = "measured";
  Measured m;
  QUERN_ASSIGN_OR_RETURN(m.read_bandwidth_gbs, read_number(object, "read_bandwidth_gbs", path));
  QUERN_ASSIGN_OR_RETURN(m.mapped_read_bandwidth_gbs,
                         read_number(object, "mapped_read_bandwidth_gbs", path));
  QUERN_ASSIGN_OR_RETURN(m.int8_tops, read_number(object, "int8_tops", path));
  QUERN_ASSIGN_OR_RETURN(m.int8_tile_tops, read_number(object, "int8_tile_tops", path));
  QUERN_ASSIGN_OR_RETURN(m.f32_tflops, read_number(object, "f32_tflops", path));
  QUERN_ASSIGN_OR_RETURN(const double threads, read_number(object, "threads", path));
  if (threads > 65536) return malformed("measured.threads", "a number of threads");
  m.threads = static_cast<int>(threads);
  QUERN_ASSIGN_OR_RETURN(m.date, read_text(object, "date", path));
  return m;
}

// The member `key` if it is an object; absent is null.
Result<const Json*> read_object(const Json& root, const char* key) {
  const auto it = root.find(key);
  if (it == root.end()) return static_cast<const Json*>(nullptr);
  if (!it->is_object()) return malformed(key, "an object");
  return &*it;
}

}  // namespace

std::string profile_to_json(const HardwareProfile& profile) {
  Json gpus = Json::array();
  for (const GpuInfo& gpu : profile.gpus) {
    gpus.push_back({{"name", gpu.name}, {"memory_bytes", gpu.memory_bytes}});
  }
  Json tuned = Json::object();
  for (const auto& [key, row] : profile.tuned) tuned[key] = row;
  const Measured& m = profile.measured;
  const Json root = {{"version", kProfileVersion},
                     {"cpu", cpu_json(profile.cpu)},
                     {"memory",
                      {{"total_bytes", profile.memory.total_bytes},
                       {"available_bytes", profile.memory.available_bytes},
                       {"page_bytes", profile.memory.page_bytes}}},
                     {"gpus", gpus},
                     {"measured",
                      {{"read_bandwidth_gbs", m.read_bandwidth_gbs},
                       {"mapped_read_bandwidth_gbs", m.mapped_read_bandwidth_gbs},
                       {"int8_tops", m.int8_tops},
                       {"int8_tile_tops", m.int8_tile_tops},
                       {"f32_tflops", m.f32_tflops},
                       {"threads", m.threads},
                       {"date", m.date}}},
                     {"tuned", tuned}};
  return dump_json(root, 2);
}

Result<HardwareProfile> profile_from_json(std::string_view text) {
  JsonLimits limits;
  limits.max_bytes = size_t{1} << 20;
  limits.max_depth = 8;
  QUERN_ASSIGN_OR_RETURN(const Json root, parse_json(text, limits));
  if (!root.is_object()) return malformed("(document)", "an object");
  const auto version = root.find("version");
  if (version == root.end() || !version->is_number_integer() || *version != kProfileVersion) {
    return malformed("version", "1");
  }
  HardwareProfile profile;
  QUERN_ASSIGN_OR_RETURN(const Json* cpu, read_object(root, "cpu"));
  if (cpu != nullptr) {
    QUERN_ASSIGN_OR_RETURN(profile.cpu.model, read_text(*cpu, "model", "cpu"));
    QUERN_ASSIGN_OR_RETURN(profile.cpu.vendor, read_text(*cpu, "vendor", "cpu"));
  }
  QUERN_ASSIGN_OR_RETURN(const Json* measured, read_object(root, "measured"));
  if (measured != nullptr) {
    QUERN_ASSIGN_OR_RETURN(profile.measured, read_measured(*measured));
  }
  QUERN_ASSIGN_OR_RETURN(const Json* tuned, read_object(root, "tuned"));
  if (tuned != nullptr) {
    for (const auto& [key, row] : tuned->items()) {
      if (!row.is_string()) return malformed("tuned." + key, "a string");
      profile.tuned[key] = row.get<std::string>();
    }
  }
  return profile;
}

}  // namespace quern::hardware
