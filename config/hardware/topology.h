// Which logical processors share a core and a memory node, and which of them threads are bound to.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

namespace quern::hardware {

struct Processor {
  int id = 0;    // as the kernel counts
  int core = 0;  // the lowest id among those that share its core
  int node = 0;  // memory node
  bool operator==(const Processor&) const = default;
};

// The processors that this process may use.
std::vector<int> allowed_processors();
// Reads about `ids` what is below `sys` (/sys, or a copy in a test), best effort: a processor of
// which nothing is known is a core of its own on node 0. In order of node, core and id.
std::vector<Processor> read_topology(const std::filesystem::path& sys, std::span<const int> ids);

// A processor for each of n_threads threads. Nodes get threads in proportion to their cores, so
// that the memory of all of them is used; the threads of a node are neighbours in the result. Each
// core gets one thread before any gets a second one; there may be more threads than processors.
// `processors` as from read_topology(), not empty.
std::vector<int> place_threads(std::span<const Processor> processors, int n_threads);

// The nodes of these processors, ascending.
std::vector<int> nodes_of(std::span<const Processor> processors);

// Binds the calling thread to these processors; false where the system refuses.
bool bind_this_thread(std::span<const int> ids);

}  // namespace quern::hardware
