// Writes metrics in the Prometheus text exposition format 0.0.4: a family at a time, its HELP and
// TYPE once, its samples together. Source: prometheus.io/docs/instrumenting/exposition_formats.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quern::api::ops {

using Label = std::pair<std::string_view, std::string_view>;  // name, value as it is
using Labels = std::span<const Label>;

class Exposition {
 public:
  // Begins a family; samples that follow belong to it. `type`: "counter", "gauge" or "histogram".
  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample(Labels labels, double value);
  // Bucket counts as in engine::Histogram: not added up, one more than bounds.
  void histogram(Labels labels, std::span<const double> bounds, std::span<const uint64_t> counts,
                 double sum);

  std::string take() { return std::move(text_); }

 private:
  void line(std::string_view suffix, Labels labels, std::string_view bound, double value);

  std::string name_;
  std::string text_;
};

}  // namespace quern::api::ops
