#include "server/cli/ceilings.h"

#include <ctime>
#include <iomanip>
#include <sstream>

#include "kernels/cpu/measure/measure.h"
#include "kernels/cpu/tune/tune.h"

namespace quern::cli {
namespace {

// "2026-11-20T15:04:05Z"
std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::ostringstream out;
  out << std::put_time(&parts, "%Y-%m-%dT%H:%M:%SZ");
  return out.str();
}

}  // namespace

Status measure_machine(const Process& process, int threads, hardware::HardwareProfile& profile) {
  const auto progress = [&](std::string_view what) {
    process.err << "measuring " << what << std::endl;
  };
  cpu::MeasureOptions ceilings;
  ceilings.threads = threads;
  ceilings.progress = progress;
  QUERN_ASSIGN_OR_RETURN(profile.measured, cpu::measure_cpu(profile, ceilings));
  profile.measured.date = now_utc();
  cpu::TuneOptions rows;
  rows.threads = threads;
  rows.progress = [&](std::string_view format) {
    progress("kernel rows for " + std::string(format));
  };
  QUERN_ASSIGN_OR_RETURN(profile.tuned, cpu::tune_rows(profile, rows));
  return ok_status();
}

Result<hardware::LoadedProfile> profile_with_ceilings(const Process& process,
                                                      bool measure_if_absent) {
  const auto path = hardware::profile_path(process.config_home);
  hardware::LoadedProfile loaded;
  if (path.ok()) {
    loaded = hardware::load_profile(*path);
  } else {
    loaded = {hardware::probe_hardware(), path.error().message()};
  }
  const hardware::Measured& measured = loaded.profile.measured;
  if (!measure_if_absent || (measured.int8_tops > 0 && measured.read_bandwidth_gbs > 0)) {
    return loaded;
  }
  QUERN_RETURN_IF_ERROR(measure_machine(process, 0, loaded.profile));
  loaded.note = "measured " + measured.date;
  const Status saved =
      path.ok() ? hardware::save_profile(loaded.profile, *path) : Status(path.error());
  if (!saved.ok()) process.err << "quern: not saved: " << saved.error().message() << std::endl;
  return loaded;
}

}  // namespace quern::cli
