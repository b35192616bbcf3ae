#include "server/loadgen/lengths.h"

#include <charconv>

namespace quern::loadgen {
namespace {

constexpr size_t kMostRanges = 1024;

bool parse_whole(std::string_view text, int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 1 &&
         out <= Lengths::kMost;
}

}  // namespace

Result<Lengths> Lengths::parse(std::string_view text, std::string_view what) {
  const Error wrong(ErrorKind::kInvalidInput,
                    std::string(what) + " cannot be \"" + std::string(text) +
                        "\"; give a length from 1 to " + std::to_string(kMost) +
                        ", a range like 16-512, or several with commas between");
  Lengths out;
  std::string_view rest = text;
  while (true) {
    const size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const size_t dash = item.find('-');
    Range range;
    if (!parse_whole(item.substr(0, dash), range.low)) return wrong;
    range.high = range.low;
    if (dash != std::string_view::npos && !parse_whole(item.substr(dash + 1), range.high)) {
      return wrong;
    }
    if (range.high < range.low || out.ranges_.size() >= kMostRanges) return wrong;
    out.ranges_.push_back(range);
    if (comma == std::string_view::npos) return out;
    rest.remove_prefix(comma + 1);
  }
}

int64_t Lengths::draw(Draws& draws) const {
  const Range& range = ranges_[draws.below(ranges_.size())];
  return range.low +
         static_cast<int64_t>(draws.below(static_cast<uint64_t>(range.high - range.low) + 1));
}

}  // namespace quern::loadgen
