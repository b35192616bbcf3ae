// A strict reader of the Prometheus text exposition format, for tests: what a scraper would accept
// with a shrug is an error here.
//
// Held to: HELP, then TYPE, then samples, each family once and in one piece; names and labels of
// the allowed letters; escapes in label values; no sample twice; counters end in _total and are not
// negative; histograms have ascending bounds, counts that do not fall, +Inf equal to _count, and a
// _sum. Source: prometheus.io/docs/instrumenting/exposition_formats.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace quern::tests {

using MetricLabels = std::map<std::string, std::string>;

struct MetricFamily {
  std::string type;
  std::string help;
  // By name (with _bucket, _sum, _count) and labels.
  std::map<std::pair<std::string, MetricLabels>, double> samples;
};

using Metrics = std::map<std::string, MetricFamily>;

// The error names the line.
Result<Metrics> parse_exposition(std::string_view text);

}  // namespace quern::tests
