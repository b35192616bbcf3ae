// See exposition_parser.h.
#include "tests/server/support/exposition_parser.h"

#include <charconv>
#include <cmath>
#include <optional>

namespace quern::tests {
namespace {

bool is_name(std::string_view text, bool colons) {
  if (text.empty() || (text.front() >= '0' && text.front() <= '9')) return false;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(c >= '0' && c <= '9') && !(colons && c == ':')) return false;
  }
  return true;
}

std::optional<double> number(std::string_view text) {
  if (text == "+Inf") return HUGE_VAL;
  if (text == "-Inf") return -HUGE_VAL;
  if (text == "NaN") return std::nan("");
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

class Parser {
 public:
  Result<Metrics> run(std::string_view text) {
    if (!text.ends_with('\n')) return Error(ErrorKind::kInvalidInput, "the last line has no end");
    while (!text.empty() && error_.empty()) {
      const size_t end = text.find('\n');
      ++line_;
      take_line(text.substr(0, end));
      text.remove_prefix(end + 1);
    }
    for (const auto& [name, family] : metrics_) check_family(name, family);
    if (error_.empty()) return std::move(metrics_);
    return Error(ErrorKind::kInvalidInput, error_);
  }

 private:
  void fail(const std::string& why) {
    if (error_.empty()) error_ = "line " + std::to_string(line_) + ": " + why;
  }

  void take_line(std::string_view line) {
    if (line.starts_with("# HELP ")) return take_help(line.substr(7));
    if (line.starts_with("# TYPE ")) return take_type(line.substr(7));
    if (line.empty() || line.front() == '#') return fail("neither a comment we write nor a sample");
    take_sample(line);
  }

  void take_help(std::string_view rest) {
    const size_t space = rest.find(' ');
    const std::string name(rest.substr(0, space));
    if (!is_name(name, true) || space == std::string_view::npos) return fail("HELP without a name");
    if (metrics_.contains(name)) return fail("the family " + name + " a second time");
    current_ = name;
    metrics_[name].help = rest.substr(space + 1);
    if (metrics_[name].help.empty()) fail("an empty HELP");
  }

  void take_type(std::string_view rest) {
    const size_t space = rest.find(' ');
    if (rest.substr(0, space) != current_ || space == std::string_view::npos) {
      return fail("TYPE does not follow HELP of its family");
    }
    MetricFamily& family = metrics_[current_];
    if (!family.type.empty()) return fail("TYPE a second time");
    family.type = rest.substr(space + 1);
    const bool known =
        family.type == "counter" || family.type == "gauge" || family.type == "histogram";
    if (!known) return fail("unknown type " + family.type);
    if ((family.type == "counter") != current_.ends_with("_total")) {
      fail("_total is the ending of counters and of nothing else");
    }
  }

  void take_sample(std::string_view line) {
    const size_t name_end = line.find_first_of("{ ");
    const std::string name(line.substr(0, name_end));
    if (!is_name(name, true) || name_end == std::string_view::npos) return fail("no sample name");
    MetricLabels labels;
    std::string_view rest = line.substr(name_end);
    if (rest.front() == '{' && !take_labels(rest, labels)) return fail("broken labels");
    if (!rest.starts_with(' ')) return fail("no space before the value");
    const auto value = number(rest.substr(1));
    if (!value) return fail("the value is no number");
    if (current_.empty()) return fail("a sample before any family");
    MetricFamily& family = metrics_[current_];
    const std::string suffix = name.starts_with(current_) ? name.substr(current_.size()) : "?";
    const bool own = family.type == "histogram"
                         ? suffix == "_bucket" || suffix == "_sum" || suffix == "_count"
                         : suffix.empty();
    if (!own) return fail(name + " stands in the family " + current_);
    if (family.type == "counter" && !(*value >= 0)) return fail("a negative counter");
    if (!family.samples.emplace(std::pair(name, labels), *value).second) fail("a sample twice");
  }

  // From "{" on; leaves what follows "}".
  static bool take_labels(std::string_view& rest, MetricLabels& out) {
    rest.remove_prefix(1);
    while (!rest.starts_with('}')) {
      const size_t equals = rest.find("=\"");
      if (equals == std::string_view::npos || !is_name(rest.substr(0, equals), false)) return false;
      const std::string name(rest.substr(0, equals));
      rest.remove_prefix(equals + 2);
      std::string value;
      while (!rest.empty() && rest.front() != '"') {
        if (rest.front() == '\\') {
          if (rest.size() < 2) return false;
          const char c = rest[1];
          if (c != '\\' && c != '"' && c != 'n') return false;
          value.push_back(c == 'n' ? '\n' : c);
          rest.remove_prefix(2);
        } else {
          value.push_back(rest.front());
          rest.remove_prefix(1);
        }
      }
      if (rest.empty() || !out.emplace(name, value).second) return false;
      rest.remove_prefix(1);
      if (rest.starts_with(',')) {
        rest.remove_prefix(1);
      } else if (!rest.starts_with('}')) {
        return false;
      }
    }
    rest.remove_prefix(1);
    return true;
  }

  void check_family(const std::string& name, const MetricFamily& family) {
    if (family.type.empty()) return fail(name + " has no TYPE");
    if (family.samples.empty()) return fail(name + " has no sample");
    if (family.type != "histogram") return;
    // Bounds of each set of labels, in ascending order.
    std::map<MetricLabels, std::map<double, double>> buckets;
    for (const auto& [key, value] : family.samples) {
      if (key.first != name + "_bucket") continue;
      MetricLabels labels = key.second;
      const auto bound = labels.extract("le");
      const auto upper = bound.empty() ? std::nullopt : number(bound.mapped());
      if (!upper) return fail(name + " has a bucket without a bound");
      buckets[labels][*upper] = value;
    }
    for (const auto& [labels, counts] : buckets) {
      double before = 0;
      for (const auto& [upper, count] : counts) {
        if (count < before) return fail(name + " has counts that fall");
        before = count;
      }
      const auto total = family.samples.find({name + "_count", labels});
      if (total == family.samples.end() || !family.samples.contains({name + "_sum", labels})) {
        return fail(name + " lacks its _count or _sum");
      }
      if (!std::isinf(counts.rbegin()->first) || total->second != before) {
        return fail(name + ": the bucket of +Inf is not its _count");
      }
    }
    if (family.samples.size() % buckets.size() != 0) fail(name + " has samples without buckets");
  }

  Metrics metrics_;
  std::string current_;
  std::string error_;
  int line_ = 0;
};

}  // namespace

Result<Metrics> parse_exposition(std::string_view text) { return Parser().run(text); }

}  // namespace quern::tests
