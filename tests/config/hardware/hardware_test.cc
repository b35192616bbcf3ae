// Hardware profile: what the probe says agrees with the kernel's own words; JSON round trip;
// damaged files are set aside with a reason.
#include "config/hardware/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace quern::hardware {
namespace {

using ::testing::HasSubstr;

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

#if defined(__x86_64__)
// The kernel lists a flag only when it supports the registers behind it.
TEST(Probe, InstructionSetsAgreeWithTheKernel) {
  const std::string cpuinfo = read_text("/proc/cpuinfo");
  if (cpuinfo.empty()) GTEST_SKIP() << "/proc/cpuinfo cannot be read here";
  const CpuInfo cpu = probe_hardware().cpu;
  const IsaMask isa = cpu.isa;
  const auto listed = [&](const std::string& flag) {
    return cpuinfo.find(" " + flag + " ") != std::string::npos ||
           cpuinfo.find(" " + flag + "\n") != std::string::npos;
  };
  EXPECT_EQ(isa.contains(Isa::kAvx2), listed("avx2") && listed("fma") && listed("f16c"));
  EXPECT_EQ(isa.contains(Isa::kAvxVnni), listed("avx_vnni"));
  EXPECT_EQ(isa.contains(Isa::kAvx512), listed("avx512f") && listed("avx512bw") &&
                                            listed("avx512dq") && listed("avx512vl") &&
                                            listed("avx512cd"));
  EXPECT_EQ(isa.contains(Isa::kAvx512Vnni), listed("avx512_vnni"));
  EXPECT_EQ(isa.contains(Isa::kAvx512Vbmi), listed("avx512vbmi"));
  const bool has_tiles = listed("amx_int8") && listed("amx_tile");
  EXPECT_EQ(isa.contains(Isa::kAmxInt8) || !cpu.isa_note.empty(), has_tiles) << cpu.isa_note;
}
#endif

TEST(Probe, CountsAreWithinTheAffinityMask) {
  const HardwareProfile profile = probe_hardware();
  cpu_set_t set;
  CPU_ZERO(&set);
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  EXPECT_GE(profile.cpu.logical_processors, 1);
  EXPECT_LE(profile.cpu.logical_processors, CPU_COUNT(&set));
  EXPECT_GE(profile.cpu.physical_cores, 1);
  EXPECT_LE(profile.cpu.physical_cores, profile.cpu.logical_processors);
  EXPECT_EQ(profile.memory.page_bytes, static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  EXPECT_GT(profile.memory.total_bytes, 0U);
  EXPECT_LE(profile.memory.available_bytes, profile.memory.total_bytes);
}

TEST(IsaMask, SetOperations) {
  const IsaMask two = Isa::kAvx2 | Isa::kAvx512;
  EXPECT_TRUE(two.contains(Isa::kAvx2));
  EXPECT_FALSE(two.contains(Isa::kAvx512Vnni));
  EXPECT_EQ(two.missing(Isa::kAvx512 | Isa::kAvx512Vnni), IsaMask(Isa::kAvx512Vnni));
  EXPECT_EQ(two.to_string(), "avx2 avx512");
  EXPECT_EQ(IsaMask().to_string(), "none");
}

TEST(ProfileJson, MeasurementsSurviveARoundTrip) {
  HardwareProfile profile = probe_hardware();
  profile.measured = {31.5, 29.25, 1.25, 10.5, 0.5, 2, "2026-01-02T03:04:05Z"};
  profile.tuned["matmul/Q4_K/decode"] = "matmul.avx2.q4_k";
  const auto back = profile_from_json(profile_to_json(profile));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->cpu.model, profile.cpu.model);
  EXPECT_EQ(back->measured.read_bandwidth_gbs, 31.5);
  EXPECT_EQ(back->measured.mapped_read_bandwidth_gbs, 29.25);
  EXPECT_EQ(back->measured.int8_tops, 1.25);
  EXPECT_EQ(back->measured.int8_tile_tops, 10.5);
  EXPECT_EQ(back->measured.f32_tflops, 0.5);
  EXPECT_EQ(back->measured.threads, 2);
  EXPECT_EQ(back->measured.date, "2026-01-02T03:04:05Z");
  EXPECT_EQ(back->tuned, profile.tuned);
}

TEST(ProfileJson, DamageIsNamed) {
  const char* const kDamaged[] = {
      "",
      "[]",
      "{\"version\": 2}",
      "{\"version\": 1, \"measured\": 3}",
      "{\"version\": 1, \"measured\": {\"int8_tops\": \"fast\"}}",
      "{\"version\": 1, \"measured\": {\"int8_tops\": -1}}",
      "{\"version\": 1, \"tuned\": {\"a\": 1}}",
  };
  for (const char* text : kDamaged) {
    EXPECT_FALSE(profile_from_json(text).ok()) << text;
  }
  EXPECT_THAT(
      profile_from_json("{\"version\": 1, \"measured\": {\"int8_tops\": -1}}").error().message(),
      HasSubstr("measured.int8_tops"));
}

class SavedProfile : public ::testing::Test {
 protected:
  std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / ("quern-profile-" + std::to_string(getpid()));
  std::filesystem::path path_ = directory_ / "deep" / "hardware.json";
  void TearDown() override { std::filesystem::remove_all(directory_); }
};

TEST_F(SavedProfile, LoadsWhatWasSavedOnTheSameMachine) {
  EXPECT_THAT(load_profile(path_).note, HasSubstr("not measured yet"));
  HardwareProfile profile = probe_hardware();
  profile.measured.int8_tops = 1.5;
  profile.measured.date = "2026-01-02T03:04:05Z";
  ASSERT_TRUE(save_profile(profile, path_).ok());
  const LoadedProfile loaded = load_profile(path_);
  EXPECT_EQ(loaded.profile.measured.int8_tops, 1.5);
  EXPECT_EQ(loaded.note, "measured 2026-01-02T03:04:05Z");
}

TEST_F(SavedProfile, AnotherMachinesMeasurementsAreSetAside) {
  HardwareProfile profile = probe_hardware();
  profile.cpu.model = "Some Other CPU";
  profile.measured.int8_tops = 1.5;
  ASSERT_TRUE(save_profile(profile, path_).ok());
  const LoadedProfile loaded = load_profile(path_);
  EXPECT_EQ(loaded.profile.measured.int8_tops, 0);
  EXPECT_THAT(loaded.note, HasSubstr("Some Other CPU"));
}

TEST(ProfilePath, FollowsTheEnvironmentInOrder) {
  EXPECT_EQ(*profile_path({"/q", "/x", "/h"}), "/q/hardware.json");
  EXPECT_EQ(*profile_path({"", "/x", "/h"}), "/x/quern/hardware.json");
  EXPECT_EQ(*profile_path({"", "", "/h"}), "/h/.config/quern/hardware.json");
  EXPECT_FALSE(profile_path({"", "", ""}).ok());
}

}  // namespace
}  // namespace quern::hardware
