// The machine's measured ceilings for commands that compare with them: from the saved profile, or
// measured now and saved for the next time.
#pragma once

#include "server/cli/command.h"

namespace quern::cli {

// The saved profile; `measure_if_absent`: takes some seconds to measure when it has no ceilings,
// says so on standard error and saves them. Only a failed measurement is an error: a profile that
// cannot be saved costs a warning.
Result<hardware::LoadedProfile> profile_with_ceilings(const Process& process,
                                                      bool measure_if_absent);

// Measures the ceilings and the fastest kernel rows with `threads` threads (0: one per physical
// core), saying on standard error what it is at, and puts them into `profile`.
Status measure_machine(const Process& process, int threads, hardware::HardwareProfile& profile);

}  // namespace quern::cli
