#include "server/cli/ceilings.h"

#include <ctime>
#include <iomanip>
#include <sstream>

#include "kernels/cpu/measure/measure.h"

namespace quern::cli {

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::ostringstream out;
  out << std::put_time(&parts, "%Y-%m-%dT%H:%M:%SZ");
  return out.str();
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
  hardware::Measured& measured = loaded.profile.measured;
  if (!measure_if_absent || (measured.int8_tops > 0 && measured.read_bandwidth_gbs > 0)) {
    return loaded;
  }
  cpu::MeasureOptions options;
  options.progress = [&](std::string_view what) {
    process.err << "measuring " << what << std::endl;
  };
  QUERN_ASSIGN_OR_RETURN(measured, cpu::measure_cpu(loaded.profile, options));
  measured.date = now_utc();
  loaded.note = "measured " + measured.date;
  const Status saved =
      path.ok() ? hardware::save_profile(loaded.profile, *path) : Status(path.error());
  if (!saved.ok()) process.err << "quern: not saved: " << saved.error().message() << std::endl;
  return loaded;
}

}  // namespace quern::cli
