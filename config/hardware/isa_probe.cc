// Which instruction sets may be used, from CPUID and XGETBV on x86 and the auxiliary vector on Arm.
// Sources: Intel SDM volume 2 (CPUID) and volume 1 chapter 13 (XCR0); Linux arm64 elf_hwcaps and
// x86 xstate (permission for tile registers).
#include "config/hardware/cpu_probe.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#endif
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace quern::hardware {

#if defined(__x86_64__)
namespace {

struct CpuidRegisters {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidRegisters cpuid(uint32_t leaf, uint32_t subleaf) {
  CpuidRegisters r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool bit(uint32_t value, int position) { return ((value >> position) & 1U) != 0; }

uint64_t read_xcr0() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

// Register state that the operating system must save for an instruction set to be usable.
constexpr uint64_t kYmmState = 0x6;       // XMM and YMM
constexpr uint64_t kZmmState = 0xe6;      // and opmask, ZMM_Hi256, Hi16_ZMM
constexpr uint64_t kTileState = 0x60000;  // XTILECFG and XTILEDATA

// Asks Linux for the use of tile registers; empty, or why it refused.
std::string request_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // the state component XTILEDATA
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0) return {};
  return "amxint8: the system refuses tile registers (" + std::generic_category().message(errno) +
         "); rows that need them are set aside";
#else
  return "amxint8: asking for tile registers is not known on this system; rows that need them are "
         "set aside";
#endif
}

}  // namespace

IsaProbe probe_isa() {
  IsaProbe probe;
  IsaMask& mask = probe.isa;
  const CpuidRegisters leaf1 = cpuid(1, 0);
  const bool has_xsave = bit(leaf1.ecx, 27);
  if (!has_xsave) return probe;
  const uint64_t xcr0 = read_xcr0();
  const CpuidRegisters leaf7 = cpuid(7, 0);
  const CpuidRegisters leaf7_1 = leaf7.eax >= 1 ? cpuid(7, 1) : CpuidRegisters{};

  const bool avx = (xcr0 & kYmmState) == kYmmState && bit(leaf1.ecx, 28);
  const bool fma = bit(leaf1.ecx, 12);
  const bool f16c = bit(leaf1.ecx, 29);
  const bool avx2 = avx && fma && f16c && bit(leaf7.ebx, 5);
  if (!avx2) return probe;
  mask = mask | Isa::kAvx2;
  if (bit(leaf7_1.eax, 4)) mask = mask | Isa::kAvxVnni;

  const bool avx512 = (xcr0 & kZmmState) == kZmmState && bit(leaf7.ebx, 16) && bit(leaf7.ebx, 17) &&
                      bit(leaf7.ebx, 28) && bit(leaf7.ebx, 30) && bit(leaf7.ebx, 31);
  if (!avx512) return probe;
  mask = mask | Isa::kAvx512;
  if (bit(leaf7.ecx, 11)) mask = mask | Isa::kAvx512Vnni;
  if (bit(leaf7.ecx, 1)) mask = mask | Isa::kAvx512Vbmi;
  if ((xcr0 & kTileState) == kTileState && bit(leaf7.edx, 24) && bit(leaf7.edx, 25)) {
    probe.note = request_tiles();
    if (probe.note.empty()) mask = mask | Isa::kAmxInt8;
    if (probe.note.empty() && bit(leaf7.edx, 22)) mask = mask | Isa::kAmxBf16;
  }
  return probe;
}

#elif defined(__aarch64__)

IsaProbe probe_isa() {
  constexpr unsigned long kHwcapAsimdDp = 1UL << 20;
  constexpr unsigned long kHwcap2I8mm = 1UL << 13;
  IsaMask mask = Isa::kNeon;  // part of the base architecture
  if ((getauxval(AT_HWCAP) & kHwcapAsimdDp) != 0) mask = mask | Isa::kNeonDot;
  if ((getauxval(AT_HWCAP2) & kHwcap2I8mm) != 0) mask = mask | Isa::kNeonI8mm;
  return {mask, {}};
}

#else

IsaProbe probe_isa() { return {}; }

#endif

}  // namespace quern::hardware
