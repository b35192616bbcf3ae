#include "config/hardware/topology.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace quern::hardware {
namespace {

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data() || value < 0) return std::nullopt;
  return value;
}

std::string first_line(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// Whether a kernel list such as "0-3,8" holds `id`.
bool list_holds(std::string_view list, int id) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view item = list.substr(0, comma);
    const size_t dash = item.find('-');
    const auto first = parse_number(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_number(item.substr(dash + 1));
    if (first && last && *first <= id && id <= *last) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// Node number to the list of its processors.
std::map<int, std::string> read_nodes(const std::filesystem::path& sys) {
  std::map<int, std::string> nodes;
  std::error_code error;
  std::filesystem::directory_iterator entries(sys / "devices/system/node", error);
  if (error) return nodes;
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("node")) continue;
    const auto number = parse_number(std::string_view(name).substr(4));
    if (number) nodes[*number] = first_line(entry.path() / "cpulist");
  }
  return nodes;
}

// The processors of one node in the order in which threads take them: the first of each core, then
// the second of each, and so on.
std::vector<int> by_turns(std::span<const Processor> processors) {
  std::map<int, int> seen;                      // processors of a core so far
  std::vector<std::tuple<int, int, int>> keys;  // turn, core, id
  for (const Processor& p : processors) keys.emplace_back(seen[p.core]++, p.core, p.id);
  std::sort(keys.begin(), keys.end());
  std::vector<int> ids;
  for (const auto& [turn, core, id] : keys) ids.push_back(id);
  return ids;
}

int64_t cores_of(std::span<const Processor> processors) {
  std::vector<int> cores;
  for (const Processor& p : processors) cores.push_back(p.core);
  std::sort(cores.begin(), cores.end());
  return std::unique(cores.begin(), cores.end()) - cores.begin();
}

}  // namespace

std::vector<int> allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> allowed;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) allowed.push_back(cpu);
    }
  }
  if (allowed.empty()) allowed.push_back(0);
  return allowed;
}

std::vector<Processor> read_topology(const std::filesystem::path& sys, std::span<const int> ids) {
  const std::map<int, std::string> nodes = read_nodes(sys);
  std::vector<Processor> processors;
  for (const int id : ids) {
    Processor p = {id, id, 0};
    const std::string cpu = "devices/system/cpu/cpu" + std::to_string(id);
    // The list begins with the lowest.
    const auto core = parse_number(first_line(sys / cpu / "topology/thread_siblings_list"));
    if (core) p.core = *core;
    for (const auto& [node, list] : nodes) {
      if (list_holds(list, id)) p.node = node;
    }
    processors.push_back(p);
  }
  std::sort(processors.begin(), processors.end(), [](const Processor& a, const Processor& b) {
    return std::tie(a.node, a.core, a.id) < std::tie(b.node, b.core, b.id);
  });
  return processors;
}

std::vector<int> nodes_of(std::span<const Processor> processors) {
  std::vector<int> nodes;
  for (const Processor& p : processors) nodes.push_back(p.node);
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

std::vector<int> place_threads(std::span<const Processor> processors, int n_threads) {
  const int64_t all_cores = cores_of(processors);
  std::vector<int> places;
  int64_t cores_before = 0;
  for (size_t begin = 0; begin < processors.size();) {
    size_t end = begin;
    while (end < processors.size() && processors[end].node == processors[begin].node) ++end;
    const auto node = processors.subspan(begin, end - begin);
    const int64_t cores = cores_before + cores_of(node);
    // Thread t belongs where its share of all threads falls among all cores.
    const int64_t first = n_threads * cores_before / all_cores;
    const int64_t last = n_threads * cores / all_cores;
    const std::vector<int> order = by_turns(node);
    for (int64_t i = 0; i < last - first; ++i) {
      places.push_back(order[static_cast<size_t>(i) % order.size()]);
    }
    cores_before = cores;
    begin = end;
  }
  return places;
}

bool bind_this_thread(std::span<const int> ids) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int id : ids) {
    if (id >= 0 && id < CPU_SETSIZE) CPU_SET(id, &set);
  }
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

}  // namespace quern::hardware
