// Cores, caches, NUMA nodes and memory from Linux's /proc, /sys and cgroup files.
//
// Everything here is best effort: a file that is missing leaves the default. Container limits count
// as the machine: processors by affinity and CPU quota, memory by the cgroup's limit.
#include "config/hardware/cpu_probe.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "config/hardware/topology.h"

namespace quern::hardware {
namespace {

std::optional<std::string> read_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!in || !std::getline(in, line)) return std::nullopt;
  return line;
}

std::optional<uint64_t> parse_uint(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// "48K", "2048K", "32M" as the kernel writes cache sizes.
uint64_t parse_size(std::string_view text) {
  const auto number = parse_uint(text);
  if (!number) return 0;
  if (text.ends_with('K')) return *number << 10;
  if (text.ends_with('M')) return *number << 20;
  if (text.ends_with('G')) return *number << 30;
  return *number;
}

// Value of "key : value" in /proc/cpuinfo (first match) or "Key: N kB" in /proc/meminfo.
std::optional<std::string> field_of(const std::string& path, std::string_view key) {
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line)) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? std::string() : line.substr(start);
  }
  return std::nullopt;
}

// Number of processors in a kernel list such as "0-3,8".
int count_cpu_list(std::string_view list) {
  int count = 0;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view item = list.substr(0, comma);
    const size_t dash = item.find('-');
    const auto first = parse_uint(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_uint(item.substr(dash + 1));
    if (first && last && *last >= *first) count += static_cast<int>(*last - *first + 1);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return count;
}

// Whole processors that the cgroup's CPU quota amounts to, or nothing when there is none.
std::optional<int> cgroup_processors() {
  const auto line = read_line("/sys/fs/cgroup/cpu.max");
  if (!line) return std::nullopt;
  std::istringstream in(*line);
  std::string quota;
  double period = 0;
  in >> quota >> period;
  const auto quota_us = parse_uint(quota);
  if (!quota_us || period <= 0) return std::nullopt;
  return std::max(1, static_cast<int>(std::floor(static_cast<double>(*quota_us) / period)));
}

int count_physical_cores(const std::vector<int>& processors) {
  std::set<std::string> cores;
  for (const int cpu : processors) {
    const std::string base = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    const auto siblings = read_line(base + "thread_siblings_list");
    cores.insert(siblings ? *siblings : std::to_string(cpu));
  }
  return static_cast<int>(cores.size());
}

std::vector<CacheInfo> read_caches(int cpu) {
  std::vector<CacheInfo> caches;
  for (int index = 0; index < 8; ++index) {
    const std::string base = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index" +
                             std::to_string(index) + "/";
    const auto level = read_line(base + "level");
    const auto size = read_line(base + "size");
    if (!level || !size) break;
    CacheInfo cache;
    cache.level = static_cast<int>(parse_uint(*level).value_or(0));
    cache.bytes = parse_size(*size);
    std::string type = read_line(base + "type").value_or("Unified");
    std::transform(type.begin(), type.end(), type.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    cache.type = type;
    cache.line_bytes = static_cast<int>(
        parse_uint(read_line(base + "coherency_line_size").value_or("64")).value_or(64));
    cache.shared_by = count_cpu_list(read_line(base + "shared_cpu_list").value_or("0"));
    caches.push_back(cache);
  }
  return caches;
}

int count_numa_nodes() {
  const auto online = read_line("/sys/devices/system/node/online");
  return online ? std::max(1, count_cpu_list(*online)) : 1;
}

uint64_t meminfo_bytes(std::string_view key) {
  const auto value = field_of("/proc/meminfo", key);
  return value ? parse_uint(*value).value_or(0) << 10 : 0;
}

}  // namespace

CpuInfo probe_cpu() {
  CpuInfo cpu;
  IsaProbe probe = probe_isa();
  cpu.isa = probe.isa;
  cpu.isa_note = std::move(probe.note);
  cpu.vendor = field_of("/proc/cpuinfo", "vendor_id").value_or("unknown");
  cpu.model = field_of("/proc/cpuinfo", "model name").value_or("unknown");
  const std::vector<int> processors = allowed_processors();
  cpu.logical_processors = static_cast<int>(processors.size());
  cpu.physical_cores = count_physical_cores(processors);
  if (const auto quota = cgroup_processors()) {
    cpu.logical_processors = std::min(cpu.logical_processors, *quota);
    cpu.physical_cores = std::min(cpu.physical_cores, *quota);
  }
  cpu.caches = read_caches(processors.front());
  cpu.numa_nodes = count_numa_nodes();
  return cpu;
}

MemoryInfo probe_memory() {
  MemoryInfo memory;
  memory.total_bytes = meminfo_bytes("MemTotal");
  memory.available_bytes = meminfo_bytes("MemAvailable");
  const long page = sysconf(_SC_PAGESIZE);
  if (page > 0) memory.page_bytes = static_cast<uint64_t>(page);
  const auto limit_line = read_line("/sys/fs/cgroup/memory.max");
  const auto limit = limit_line ? parse_uint(*limit_line) : std::nullopt;
  if (limit && (memory.total_bytes == 0 || *limit < memory.total_bytes)) {
    memory.total_bytes = *limit;
    const auto used_line = read_line("/sys/fs/cgroup/memory.current");
    const uint64_t used = used_line ? parse_uint(*used_line).value_or(0) : 0;
    memory.available_bytes = std::min(memory.available_bytes, *limit > used ? *limit - used : 0);
  }
  return memory;
}

}  // namespace quern::hardware
