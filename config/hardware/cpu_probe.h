// Reads what the processor is: instruction sets, cores, caches, NUMA nodes.
//
// An instruction set is reported only when both the processor and the operating system (saved
// register state) support it.
#pragma once

#include "config/hardware/profile.h"

namespace quern::hardware {

IsaMask probe_isa();
CpuInfo probe_cpu();
MemoryInfo probe_memory();

}  // namespace quern::hardware
