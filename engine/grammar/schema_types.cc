// Bounds are made exact or refused by name.
#include "engine/grammar/schema_types.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/grammar/pattern.h"
#include "engine/grammar/schema_formats.h"

namespace quern::grammar {
namespace {

// Multiples that are listed one by one when both ends are given.
constexpr int64_t kMaxListed = 2000;

std::string count_text(uint64_t count) {
  return count == kEndless ? "no limit" : std::to_string(count);
}

Result<ExprId> patterned_string(const SchemaRef& at, std::string_view keyword,
                                std::string_view pattern, uint32_t min, uint32_t max,
                                JsonText& json) {
  Grammar& grammar = json.grammar();
  auto parsed = parse_pattern(pattern, json);
  if (!parsed.ok()) {
    return schema_error(parsed.error().kind(), at, keyword, parsed.error().message());
  }
  const Pattern& p = *parsed;
  const ExprId quote = grammar.literal("\"");
  if (p.min_length >= min && (max == kUnbounded || p.max_length <= max)) {
    return grammar.sequence({quote, p.body, quote});
  }
  if (p.unit != kNone) {
    const uint32_t low = std::max(min, p.unit_min);
    const uint32_t high = std::min(max, p.unit_max);
    const ExprId body = low > high ? grammar.never() : grammar.repeat(p.unit, low, high);
    return grammar.sequence({quote, body, quote});
  }
  return schema_error(ErrorKind::kUnsupported, at, keyword,
                      "together with minLength or maxLength is supported only where the pattern "
                      "keeps the bounds by itself; it matches texts of " +
                          count_text(p.min_length) + " to " + count_text(p.max_length) +
                          " characters, so bound its repetitions");
}

struct Bound {
  std::optional<double> value;
  bool open = false;
};

Result<std::optional<double>> read_number(const SchemaRef& at, std::string_view keyword) {
  const Json* value = find_in(*at.schema, keyword);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) {
    return schema_error(ErrorKind::kInvalidInput, at, keyword, "must be a number");
  }
  const double number = value->get<double>();
  // Beyond this a bound is not what its digits say.
  if (!(std::abs(number) <= 9007199254740992.0)) {
    return schema_error(ErrorKind::kUnsupported, at, keyword,
                        "is supported from -2^53 to 2^53 only");
  }
  return std::optional<double>(number);
}

// The tighter of an inclusive and an exclusive bound. `sign` 1: lower bounds, -1: upper ones.
Result<Bound> read_bound(const SchemaRef& at, std::string_view inclusive,
                         std::string_view exclusive, double sign) {
  QUERN_ASSIGN_OR_RETURN(const std::optional<double> closed, read_number(at, inclusive));
  QUERN_ASSIGN_OR_RETURN(const std::optional<double> open, read_number(at, exclusive));
  if (!open) return Bound{closed, false};
  if (closed && sign * *closed > sign * *open) return Bound{closed, false};
  return Bound{open, true};
}

// The first or last whole number inside a bound.
std::optional<int64_t> whole_inside(const Bound& bound, bool lower) {
  if (!bound.value) return std::nullopt;
  double edge = lower ? std::ceil(*bound.value) : std::floor(*bound.value);
  if (bound.open && edge == *bound.value) edge += lower ? 1 : -1;
  return static_cast<int64_t>(edge);
}

std::optional<int64_t> whole_of(const Bound& bound) {
  if (!bound.value) return std::nullopt;
  return static_cast<int64_t>(*bound.value);
}

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0 ? 1 : 0); }

Result<ExprId> multiples(const SchemaRef& at, double divisor, const IntegerRange& range,
                         JsonText& json) {
  Grammar& grammar = json.grammar();
  const auto k = static_cast<int64_t>(divisor);
  if (range.low && range.high) {
    const int64_t first = -floor_div(-*range.low, k);
    const int64_t last = floor_div(*range.high, k);
    if (last - first < kMaxListed) {
      std::vector<ExprId> ways;
      for (int64_t n = first; n <= last; ++n) {
        ways.push_back(grammar.literal(std::to_string(n * k)));
      }
      return grammar.choice(ways);
    }
  }
  const bool low_is_sign = !range.low || *range.low == 0 || *range.low == 1;
  const bool high_is_sign = !range.high || *range.high == 0 || *range.high == -1;
  if (k > JsonText::kMaxDivisor || !low_is_sign || !high_is_sign) {
    return schema_error(ErrorKind::kUnsupported, at, "multipleOf",
                        "is supported up to 100 with bounds of 0 or none, or with two bounds that "
                        "leave at most 2000 values");
  }
  const bool negative = !range.low;
  const bool zero = (!range.low || *range.low <= 0) && (!range.high || *range.high >= 0);
  return json.multiple_of(k, negative, zero, !range.high);
}

}  // namespace

Result<ExprId> string_type(const SchemaRef& at, JsonText& json) {
  QUERN_ASSIGN_OR_RETURN(const uint32_t min, read_count(at, "minLength", 0));
  QUERN_ASSIGN_OR_RETURN(const uint32_t max, read_count(at, "maxLength", kUnbounded));
  if (min > max) {
    return schema_error(ErrorKind::kInvalidInput, at, "minLength",
                        "is above maxLength; no string can satisfy both");
  }
  const Json* pattern = find_in(*at.schema, "pattern");
  const Json* format = find_in(*at.schema, "format");
  if (pattern != nullptr && format != nullptr) {
    return schema_error(ErrorKind::kUnsupported, at, "pattern",
                        "together with 'format' is not supported; keep one of them");
  }
  if (pattern != nullptr) {
    if (!pattern->is_string()) {
      return schema_error(ErrorKind::kInvalidInput, at, "pattern", "must be a string");
    }
    return patterned_string(at, "pattern", pattern->get_ref<const std::string&>(), min, max, json);
  }
  if (format == nullptr) return json.string(min, max);
  if (!format->is_string()) {
    return schema_error(ErrorKind::kInvalidInput, at, "format", "must be a string");
  }
  const StringFormat* known = find_format(format->get_ref<const std::string&>());
  if (known == nullptr) {
    return schema_error(ErrorKind::kUnsupported, at, "format",
                        "\"" + format->get<std::string>().substr(0, 60) +
                            "\" is not supported; known are " + std::string(format_names()));
  }
  return patterned_string(at, "format", known->pattern, min, max, json);
}

Result<ExprId> number_type(const SchemaRef& at, bool integer, JsonText& json) {
  QUERN_ASSIGN_OR_RETURN(const Bound low, read_bound(at, "minimum", "exclusiveMinimum", 1));
  QUERN_ASSIGN_OR_RETURN(const Bound high, read_bound(at, "maximum", "exclusiveMaximum", -1));
  QUERN_ASSIGN_OR_RETURN(const std::optional<double> step, read_number(at, "multipleOf"));
  if (step && !(*step > 0)) {
    return schema_error(ErrorKind::kInvalidInput, at, "multipleOf", "must be above 0");
  }
  if (step && *step != std::floor(*step)) {
    return schema_error(ErrorKind::kUnsupported, at, "multipleOf",
                        "is supported for whole numbers only");
  }
  if (integer || step) {
    const IntegerRange range{whole_inside(low, true), whole_inside(high, false)};
    if (range.low && range.high && *range.low > *range.high) {
      return schema_error(ErrorKind::kInvalidInput, at, low.open ? "exclusiveMinimum" : "minimum",
                          "leaves no whole number below the upper bound");
    }
    if (step && *step != 1) return multiples(at, *step, range, json);
    return json.integer_in(range);
  }
  for (const Bound* bound : {&low, &high}) {
    if (bound->value && *bound->value != std::floor(*bound->value)) {
      return schema_error(ErrorKind::kUnsupported, at, bound == &low ? "minimum" : "maximum",
                          "of a number is supported for whole bounds only (0, 1, -5)");
    }
  }
  if (low.value && high.value &&
      (*low.value > *high.value || (*low.value == *high.value && (low.open || high.open)))) {
    return schema_error(ErrorKind::kInvalidInput, at, low.open ? "exclusiveMinimum" : "minimum",
                        "leaves no number below the upper bound");
  }
  return json.number_in({whole_of(low), whole_of(high), low.open, high.open});
}

}  // namespace quern::grammar
