#include "server/cli/progress.h"

#include <iomanip>
#include <sstream>
#include <utility>

namespace quern::cli {
namespace {

constexpr int64_t kBarCells = 30;

std::string bar(uint64_t percent) {
  std::string text(static_cast<size_t>(kBarCells), '.');
  const auto full = static_cast<size_t>(static_cast<uint64_t>(kBarCells) * percent / 100);
  text.replace(0, full, full, '#');
  return "[" + text + "] ";
}

}  // namespace

Progress::Progress(const Process& process, std::string what)
    : process_(process), what_(std::move(what)) {}

Progress::~Progress() {
  if (line_open_) process_.err << std::endl;
}

void Progress::show(uint64_t done, uint64_t total) {
  const uint64_t percent =
      total == 0
          ? 100
          : static_cast<uint64_t>(100.0 * static_cast<double>(done) / static_cast<double>(total));
  const int64_t step = static_cast<int64_t>(percent) / (process_.err_is_terminal ? 1 : 10);
  if (step == shown_) return;
  shown_ = step;
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  std::ostringstream line;
  line << what_ << ' ' << (process_.err_is_terminal ? bar(percent) : "") << percent << " %, "
       << std::fixed << std::setprecision(0) << seconds << " s";
  if (percent > 0 && percent < 100) {
    const auto share = static_cast<double>(percent) / 100.0;
    line << ", about " << seconds / share - seconds << " s left";
  }
  // Spaces wipe what a longer line left behind.
  process_.err << (process_.err_is_terminal ? "\r" : "") << line.str()
               << (process_.err_is_terminal ? "        " : "\n");
  process_.err.flush();
  line_open_ = process_.err_is_terminal;
}

}  // namespace quern::cli
