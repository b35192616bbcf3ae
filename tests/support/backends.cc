#include "tests/support/backends.h"

#include "config/hardware/profile.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/support/plain_backend.h"

namespace quern::tests_support {

std::vector<NamedBackend> test_backends() {
  std::vector<NamedBackend> out;
  out.push_back({.name = "plain", .backend = create_plain_backend()});
  const hardware::HardwareProfile profile = hardware::probe_hardware();
  std::vector<std::string_view> caps = {"scalar"};
  for (size_t i = 0; i < static_cast<size_t>(hardware::Isa::kCount); ++i) {
    const auto isa = static_cast<hardware::Isa>(i);
    if (profile.cpu.isa.contains(isa)) caps.push_back(hardware::isa_name(isa));
  }
  for (const std::string_view cap : caps) {
    // Three threads on purpose: results must not depend on it, and rows are split unevenly.
    auto cpu = cpu::create_cpu_backend({.profile = profile, .threads = 3, .isa_cap = cap});
    if (!cpu.ok()) continue;  // an instruction set without rows of its own
    out.push_back({.name = "cpu_" + std::string(cap),
                   .backend = std::move(cpu).value(),
                   .reproducible = true});
  }
  return out;
}

}  // namespace quern::tests_support
