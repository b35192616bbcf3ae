// What the machine has (probed), what it was measured to do, and which kernel rows were measured to
// be best. Plain data: rows are names, so that this folder needs nothing from kernels.
//
// Kept as readable JSON in the user's configuration directory (profile_path()).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"

namespace quern::hardware {

// One bit per instruction set that kernel rows may need; isa_list.inc is the single list.
enum class Isa : uint8_t {
#define QUERN_ISA(id, name, summary) id,
#include "config/hardware/isa_list.inc"
#undef QUERN_ISA
  kCount,
};

// A set of instruction sets.
class IsaMask {
 public:
  constexpr IsaMask() = default;
  constexpr IsaMask(Isa isa) : bits_(uint32_t{1} << static_cast<uint32_t>(isa)) {}  // NOLINT
  constexpr IsaMask operator|(IsaMask other) const { return IsaMask(bits_ | other.bits_); }
  constexpr bool contains(IsaMask other) const { return (bits_ & other.bits_) == other.bits_; }
  // What is in `other` and not here.
  constexpr IsaMask missing(IsaMask other) const { return IsaMask(other.bits_ & ~bits_); }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool operator==(const IsaMask&) const = default;
  constexpr uint32_t bits() const { return bits_; }
  // "avx2 avx512"; "none" when empty.
  std::string to_string() const;

 private:
  explicit constexpr IsaMask(uint32_t bits) : bits_(bits) {}
  uint32_t bits_ = 0;
};

constexpr IsaMask operator|(Isa a, Isa b) { return IsaMask(a) | IsaMask(b); }
std::string_view isa_name(Isa isa);

struct CacheInfo {
  int level = 0;
  std::string type;  // "data", "instruction", "unified"
  uint64_t bytes = 0;
  int line_bytes = 0;
  int shared_by = 1;  // logical processors
};

struct CpuInfo {
  std::string vendor;
  std::string model;
  IsaMask isa;
  std::string isa_note;        // what the processor has and the system withholds, or empty
  int logical_processors = 1;  // that this process may use (affinity and cgroup quota)
  int physical_cores = 1;      // among those
  std::vector<CacheInfo> caches;
  int numa_nodes = 1;
};

struct MemoryInfo {
  uint64_t total_bytes = 0;      // of the machine, or the cgroup's limit if lower
  uint64_t available_bytes = 0;  // at the time of probing
  uint64_t page_bytes = 4096;
};

struct GpuInfo {
  std::string name;
  uint64_t memory_bytes = 0;
};

// Results of `quern hardware measure`; 0 means not measured.
struct Measured {
  double read_bandwidth_gbs = 0;         // all cores, from memory, 1e9 bytes/s
  double mapped_read_bandwidth_gbs = 0;  // all cores, through a file mapping
  double int8_tops = 0;                  // all cores, multiply and add counted as two, 1e12/s
  double int8_tile_tops = 0;             // the same by whole tiles, on machines that have them
  double f32_tflops = 0;                 // all cores, FMA counted as two, 1e12/s
  int threads = 0;                       // threads it was measured with
  std::string date;                      // RFC 3339, UTC
};

struct HardwareProfile {
  CpuInfo cpu;
  MemoryInfo memory;
  std::vector<GpuInfo> gpus;
  Measured measured;
  // Rows measured to be best: "matmul/Q4_K/decode" -> row name.
  std::map<std::string, std::string> tuned;
};

// Looks at the machine; never fails (what cannot be read stays at its default).
HardwareProfile probe_hardware();

// Where the profile of this user is kept, from the environment that the caller passes in.
struct ConfigHome {
  std::string quern_config_dir;  // $QUERN_CONFIG_DIR, or empty
  std::string xdg_config_home;   // $XDG_CONFIG_HOME, or empty
  std::string home;              // $HOME, or empty
};
Result<std::filesystem::path> profile_path(const ConfigHome& home);

std::string profile_to_json(const HardwareProfile& profile);
// Measured and tuned parts of a saved profile; an error that names the field if it is malformed.
Result<HardwareProfile> profile_from_json(std::string_view text);

// The probed machine with the measurements saved at `path`, if any were made on the same CPU model;
// `note` says what was used or why a saved file was set aside.
struct LoadedProfile {
  HardwareProfile profile;
  std::string note;
};
LoadedProfile load_profile(const std::filesystem::path& path);
Status save_profile(const HardwareProfile& profile, const std::filesystem::path& path);

}  // namespace quern::hardware
