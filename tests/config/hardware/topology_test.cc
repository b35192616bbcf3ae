// Placing threads on processors, with machines that are made up of files.
#include "config/hardware/topology.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace quern::hardware {
namespace {

// A copy of the part of /sys that is read.
class FakeSystem {
 public:
  FakeSystem()
      : root_(std::filesystem::temp_directory_path() /
              ("quern-topology-" + std::to_string(getpid()) + "-" +
               std::to_string(reinterpret_cast<uintptr_t>(this)))) {}
  ~FakeSystem() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  FakeSystem(const FakeSystem&) = delete;
  FakeSystem& operator=(const FakeSystem&) = delete;

  void node(int number, const std::string& processors) {
    write("devices/system/node/node" + std::to_string(number) + "/cpulist", processors);
  }
  void siblings(int processor, const std::string& list) {
    write("devices/system/cpu/cpu" + std::to_string(processor) + "/topology/thread_siblings_list",
          list);
  }
  std::vector<Processor> read(const std::vector<int>& ids) const {
    return read_topology(root_, ids);
  }

 private:
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text << '\n';
  }
  std::filesystem::path root_;
};

// Two sockets of 2 cores with 2 threads each, numbered as Linux does: second threads last.
FakeSystem& fill_two_sockets(FakeSystem& system) {
  system.node(0, "0-1,4-5");
  system.node(1, "2-3,6-7");
  for (int cpu = 0; cpu < 8; ++cpu) {
    system.siblings(cpu, std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4));
  }
  return system;
}

TEST(Topology, ReadsCoresAndNodes) {
  FakeSystem system;
  const std::vector<Processor> all = fill_two_sockets(system).read({0, 1, 2, 3, 4, 5, 6, 7});
  const std::vector<Processor> expected = {{0, 0, 0}, {4, 0, 0}, {1, 1, 0}, {5, 1, 0},
                                           {2, 2, 1}, {6, 2, 1}, {3, 3, 1}, {7, 3, 1}};
  EXPECT_EQ(all, expected);
  EXPECT_EQ(nodes_of(all), (std::vector<int>{0, 1}));
}

TEST(Topology, LooksAtTheGivenProcessorsOnly) {
  FakeSystem system;
  const std::vector<Processor> some = fill_two_sockets(system).read({6, 1});
  EXPECT_EQ(some, (std::vector<Processor>{{1, 1, 0}, {6, 2, 1}}));
}

TEST(Topology, NothingKnownIsACoreEachOnOneNode) {
  const FakeSystem system;
  const std::vector<Processor> all = system.read({0, 3});
  EXPECT_EQ(all, (std::vector<Processor>{{0, 0, 0}, {3, 3, 0}}));
  EXPECT_EQ(place_threads(all, 2), (std::vector<int>{0, 3}));
}

TEST(Topology, DamagedFilesAreNothingKnown) {
  FakeSystem system;
  system.node(0, "-,x,4-,9999999999999");
  system.siblings(1, "what");
  EXPECT_EQ(system.read({1}), (std::vector<Processor>{{1, 1, 0}}));
}

TEST(Placement, CoresComeBeforeSecondThreads) {
  FakeSystem system;
  const std::vector<Processor> all = fill_two_sockets(system).read({0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(place_threads(all, 4), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(place_threads(all, 8), (std::vector<int>{0, 1, 4, 5, 2, 3, 6, 7}));
}

TEST(Placement, FewThreadsUseTheMemoryOfAllNodes) {
  FakeSystem system;
  const std::vector<Processor> all = fill_two_sockets(system).read({0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(place_threads(all, 2), (std::vector<int>{0, 2}));
}

TEST(Placement, NodesGetThreadsInProportionToTheirCores) {
  FakeSystem system;
  system.node(0, "0-2");
  system.node(1, "3");
  const std::vector<Processor> all = system.read({0, 1, 2, 3});
  EXPECT_EQ(place_threads(all, 4), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(place_threads(all, 8), (std::vector<int>{0, 1, 2, 0, 1, 2, 3, 3}));
}

TEST(Placement, EveryNumberOfThreadsIsPlaced) {
  FakeSystem system;
  const std::vector<Processor> all = fill_two_sockets(system).read({0, 1, 2, 3, 4, 5, 6, 7});
  for (int n = 1; n <= 20; ++n) {
    EXPECT_EQ(place_threads(all, n).size(), static_cast<size_t>(n)) << n;
  }
}

TEST(Placement, ThisMachineCanBeReadAndBoundTo) {
  const std::vector<int> allowed = allowed_processors();
  const std::vector<Processor> processors = read_topology("/sys", allowed);
  ASSERT_EQ(processors.size(), allowed.size());
  const std::vector<int> one = place_threads(processors, 1);
  ASSERT_TRUE(bind_this_thread(one));
  EXPECT_EQ(allowed_processors(), one);
  ASSERT_TRUE(bind_this_thread(allowed));
  EXPECT_EQ(allowed_processors(), allowed);
}

}  // namespace
}  // namespace quern::hardware
