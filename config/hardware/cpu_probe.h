// Reads what the processor is: instruction sets, cores, caches, NUMA nodes.
//
// An instruction set is reported only when both the processor and the operating system (saved
// register state) support it.
#pragma once

#include "config/hardware/profile.h"

namespace quern::hardware {

struct IsaProbe {
  IsaMask isa;
  std::string note;  // see CpuInfo::isa_note
};
// Asks the operating system for the use of AMX tiles where the processor has them; the permission
// is the process's from then on.
IsaProbe probe_isa();
CpuInfo probe_cpu();
MemoryInfo probe_memory();

}  // namespace quern::hardware
