// The table of tests; see template_tests.h. Semantics: jinja2.tests.
#include "models/chat/template_tests.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "models/chat/template_arguments.h"
#include "models/chat/template_filters.h"
#include "models/chat/template_operators.h"
#include "models/chat/template_strings.h"

namespace quern::chat {
namespace {

using Subject = const Value&;

template <bool (*kHolds)(Subject)>
bool plain(Runtime&, Subject subject, const Arguments& arguments) {
  const BoundArguments bound("this test", arguments, {}, 0);
  return kHolds(subject);
}

template <Op kOp>
bool compares(Runtime& runtime, Subject subject, const Arguments& arguments) {
  const BoundArguments bound("a comparing test", arguments, {"other"}, 1);
  return compare(runtime, kOp, subject, *bound[0]);
}

int64_t remainder_of(Runtime& runtime, Subject subject, const Value& divisor) {
  const Value rest = arithmetic(runtime, Op::kModulo, subject, divisor);
  if (const double* number = rest.as_float()) return *number == 0 ? 0 : *number == 1 ? 1 : 2;
  int64_t storage = 2;
  integer_of(rest, storage);
  return storage;
}

bool is_divisible(Runtime& runtime, Subject subject, const Arguments& arguments) {
  const BoundArguments bound("divisibleby", arguments, {"num"}, 1);
  return remainder_of(runtime, subject, *bound[0]) == 0;
}

template <int64_t kRest>
bool has_parity(Runtime& runtime, Subject subject, const Arguments& arguments) {
  const BoundArguments bound("a parity test", arguments, {}, 0);
  return remainder_of(runtime, subject, Value(int64_t{2})) == kRest;
}

bool is_same(Runtime& runtime, Subject subject, const Arguments& arguments) {
  const BoundArguments bound("sameas", arguments, {"other"}, 1);
  const Value& other = *bound[0];
  return type_name(subject) == type_name(other) && equal(runtime, subject, other);
}

template <bool kUpper>
bool has_case(Runtime& runtime, Subject subject, const Arguments& arguments) {
  const BoundArguments bound("a case test", arguments, {}, 0);
  const TextRef text = to_text(runtime, subject);
  runtime.charge_bytes(text->bytes.size());
  return kUpper ? all_upper(text->bytes) : all_lower(text->bytes);
}

bool is_filter_name(Runtime&, Subject subject, const Arguments&) {
  return subject.as_text() != nullptr && find_filter(subject.as_text()->bytes) != nullptr;
}

bool is_test_name(Runtime&, Subject subject, const Arguments&) {
  return subject.as_text() != nullptr && find_test(subject.as_text()->bytes) != nullptr;
}

bool is_boolean(Subject s) { return s.as_bool() != nullptr; }
bool is_callable(Subject s) {
  // An undefined value has a call operator in Jinja, which only raises.
  return s.is_undefined() || (s.as_object() != nullptr && s.as_object()->callable());
}
bool is_defined(Subject s) { return !s.is_undefined(); }
bool is_undefined(Subject s) { return s.is_undefined(); }
bool is_escaped(Subject) { return false; }
bool is_true(Subject s) { return s.as_bool() != nullptr && *s.as_bool(); }
bool is_false(Subject s) { return s.as_bool() != nullptr && !*s.as_bool(); }
bool is_float(Subject s) { return s.as_float() != nullptr; }
bool is_integer(Subject s) { return s.as_int() != nullptr; }
bool is_mapping(Subject s) { return s.as_dict() != nullptr; }
bool is_none(Subject s) { return s.is_none(); }
bool is_number(Subject s) {
  return s.as_bool() != nullptr || s.as_int() != nullptr || s.as_float() != nullptr;
}
bool is_string(Subject s) { return s.as_text() != nullptr; }
bool is_sequence(Subject s) {
  const Sequence* sequence = s.as_sequence();
  return s.is_undefined() || s.as_text() != nullptr || s.as_dict() != nullptr ||
         s.as_range() != nullptr ||
         (sequence != nullptr &&
          (sequence->type == SequenceType::kList || sequence->type == SequenceType::kTuple));
}

constexpr TestRow kTests[] = {
    {"!=", compares<Op::kNotEqual>},
    {"<", compares<Op::kLess>},
    {"<=", compares<Op::kLessEqual>},
    {"==", compares<Op::kEqual>},
    {">", compares<Op::kGreater>},
    {">=", compares<Op::kGreaterEqual>},
    {"boolean", plain<is_boolean>},
    {"callable", plain<is_callable>},
    {"defined", plain<is_defined>},
    {"divisibleby", is_divisible},
    {"eq", compares<Op::kEqual>},
    {"equalto", compares<Op::kEqual>},
    {"escaped", plain<is_escaped>},
    {"even", has_parity<0>},
    {"false", plain<is_false>},
    {"filter", is_filter_name},
    {"float", plain<is_float>},
    {"ge", compares<Op::kGreaterEqual>},
    {"greaterthan", compares<Op::kGreater>},
    {"gt", compares<Op::kGreater>},
    {"in", compares<Op::kIn>},
    {"integer", plain<is_integer>},
    {"iterable", plain<is_iterable>},
    {"le", compares<Op::kLessEqual>},
    {"lessthan", compares<Op::kLess>},
    {"lower", has_case<false>},
    {"lt", compares<Op::kLess>},
    {"mapping", plain<is_mapping>},
    {"ne", compares<Op::kNotEqual>},
    {"none", plain<is_none>},
    {"number", plain<is_number>},
    {"odd", has_parity<1>},
    {"sameas", is_same},
    {"sequence", plain<is_sequence>},
    {"string", plain<is_string>},
    {"test", is_test_name},
    {"true", plain<is_true>},
    {"undefined", plain<is_undefined>},
    {"upper", has_case<true>},
};

}  // namespace

const TestRow* find_test(std::string_view name) {
  const auto* found = std::lower_bound(
      std::begin(kTests), std::end(kTests), name,
      [](const TestRow& row, std::string_view wanted) { return row.name < wanted; });
  return found != std::end(kTests) && found->name == name ? found : nullptr;
}

}  // namespace quern::chat
