// Truth, equality, order and arithmetic; see template_operators.h.
#include "models/chat/template_operators.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "models/chat/template_formatting.h"

namespace quern::chat {
namespace {

struct Number {
  bool is_float = false;
  int64_t integer = 0;
  double number = 0;  // the value as a double in both cases
};

std::optional<Number> number_of(const Value& value) {
  if (const bool* b = value.as_bool()) return Number{false, *b ? 1 : 0, *b ? 1.0 : 0.0};
  if (const int64_t* i = value.as_int()) return Number{false, *i, static_cast<double>(*i)};
  if (const double* d = value.as_float()) return Number{true, 0, *d};
  return std::nullopt;
}

bool numbers_equal(const Number& a, const Number& b) {
  return !a.is_float && !b.is_float ? a.integer == b.integer : a.number == b.number;
}

bool sequences_equal(Runtime& runtime, const Sequence& a, const Sequence& b) {
  if (a.type != b.type || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(runtime, a.items[i], b.items[i])) return false;
  }
  return true;
}

bool dicts_equal(Runtime& runtime, const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const size_t at = find_key(runtime, b, key);
    if (at == SIZE_MAX || !equal(runtime, value, b.items[at].second)) return false;
  }
  return true;
}

[[noreturn]] void refuse_operands(std::string_view op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b}) {
    if (v->is_undefined()) fail(v->undefined_message());
  }
  fail("unsupported operand types for " + std::string(op) + ": '" + std::string(type_name(a)) +
       "' and '" + std::string(type_name(b)) + "'");
}

std::string_view symbol_of(Op op) {
  switch (op) {
    case Op::kAdd:
      return "+";
    case Op::kSubtract:
      return "-";
    case Op::kMultiply:
      return "*";
    case Op::kDivide:
      return "/";
    case Op::kFloorDivide:
      return "//";
    case Op::kModulo:
      return "%";
    default:
      return "**";
  }
}

// By reference: the builtins write the value while the arguments are evaluated.
Value integer_result(bool overflow, const int64_t& value) {
  if (overflow) fail("an integer exceeds 64 bits");
  return Value(value);
}

Value floor_divide(int64_t a, int64_t b, bool modulo) {
  if (b == 0) fail("division by zero");
  if (b == -1) {
    int64_t negated = 0;
    const bool overflow = __builtin_sub_overflow(int64_t{0}, a, &negated);
    return modulo ? Value(int64_t{0}) : integer_result(overflow, negated);
  }
  int64_t quotient = a / b;
  int64_t rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    --quotient;
    rest += b;
  }
  return Value(modulo ? rest : quotient);
}

Value integer_power(Runtime& runtime, int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail("0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  if (base == 0 || base == 1) return Value(exponent == 0 ? int64_t{1} : base);
  if (base == -1) return Value(exponent % 2 == 0 ? int64_t{1} : int64_t{-1});
  int64_t result = 1;
  for (; exponent > 0; --exponent) {  // at most 63 rounds before an overflow
    runtime.charge_work();
    if (__builtin_mul_overflow(result, base, &result)) fail("an integer exceeds 64 bits");
  }
  return Value(result);
}

Value integer_arithmetic(Runtime& runtime, Op op, int64_t a, int64_t b) {
  int64_t out = 0;
  switch (op) {
    case Op::kAdd:
      return integer_result(__builtin_add_overflow(a, b, &out), out);
    case Op::kSubtract:
      return integer_result(__builtin_sub_overflow(a, b, &out), out);
    case Op::kMultiply:
      return integer_result(__builtin_mul_overflow(a, b, &out), out);
    case Op::kDivide:
      if (b == 0) fail("division by zero");
      return Value(static_cast<double>(a) / static_cast<double>(b));
    case Op::kPower:
      return integer_power(runtime, a, b);
    default:
      return floor_divide(a, b, op == Op::kModulo);
  }
}

Value float_arithmetic(Op op, double a, double b) {
  const bool divides = op == Op::kDivide || op == Op::kFloorDivide || op == Op::kModulo;
  if (divides && b == 0) fail("division by zero");
  switch (op) {
    case Op::kAdd:
      return Value(a + b);
    case Op::kSubtract:
      return Value(a - b);
    case Op::kMultiply:
      return Value(a * b);
    case Op::kDivide:
      return Value(a / b);
    case Op::kPower:
      if (a == 0 && b < 0) fail("0 cannot be raised to a negative power");
      if (a < 0 && std::floor(b) != b) fail("a negative number has no real fractional power");
      return Value(std::pow(a, b));
    default:
      break;
  }
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    rest += b;
    quotient -= 1.0;
  }
  if (op == Op::kModulo) return Value(rest == 0 ? std::copysign(0.0, b) : rest);
  double floored = std::floor(quotient);
  if (quotient - floored > 0.5) floored += 1.0;
  return Value(floored);
}

Value concatenate(Runtime& runtime, const Value& a, const Value& b) {
  if (a.as_text() != nullptr && b.as_text() != nullptr) {
    runtime.charge_bytes(a.as_text()->bytes.size() + b.as_text()->bytes.size());
    TextBuilder out;
    out.append(*a.as_text());
    out.append(*b.as_text());
    return runtime.text(out.take());
  }
  const Sequence* left = a.as_sequence();
  const Sequence* right = b.as_sequence();
  const bool joinable = left != nullptr && right != nullptr && left->type == right->type &&
                        (left->type == SequenceType::kList || left->type == SequenceType::kTuple);
  if (!joinable) refuse_operands("+", a, b);
  runtime.charge_work(left->items.size() + right->items.size());
  runtime.charge_bytes((left->items.size() + right->items.size()) * sizeof(Value));
  std::vector<Value> items = left->items;
  items.insert(items.end(), right->items.begin(), right->items.end());
  return runtime.sequence(left->type, std::move(items));
}

Value repeat(Runtime& runtime, const Value& what, int64_t times) {
  const uint64_t count = times < 0 ? 0 : static_cast<uint64_t>(times);
  if (const Text* text = what.as_text()) {
    if (!text->bytes.empty() && count > SIZE_MAX / text->bytes.size() / 2) {
      fail("a repeated string is too long");
    }
    if (text->bytes.empty()) return what;
    runtime.charge_bytes(count * text->bytes.size());
    TextBuilder out;
    for (uint64_t i = 0; i < count; ++i) out.append(*text);
    return runtime.text(out.take());
  }
  const Sequence& sequence = *what.as_sequence();
  if (sequence.items.empty()) return what;
  if (count > SIZE_MAX / sequence.items.size() / sizeof(Value)) fail("a repeated list is too long");
  runtime.charge_work(count * sequence.items.size());
  runtime.charge_bytes(count * sequence.items.size() * sizeof(Value));
  std::vector<Value> items;
  for (uint64_t i = 0; i < count; ++i) {
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  }
  return runtime.sequence(sequence.type, std::move(items));
}

bool repeatable(const Value& value) {
  const Sequence* sequence = value.as_sequence();
  return value.as_text() != nullptr ||
         (sequence != nullptr &&
          (sequence->type == SequenceType::kList || sequence->type == SequenceType::kTuple));
}

}  // namespace

const int64_t* integer_of(const Value& value, int64_t& storage) {
  const auto number = number_of(value);
  if (!number || number->is_float) return nullptr;
  storage = number->integer;
  return &storage;
}

std::string_view type_name(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "NoneType";
  if (value.as_bool() != nullptr) return "bool";
  if (value.as_int() != nullptr) return "int";
  if (value.as_float() != nullptr) return "float";
  if (value.as_text() != nullptr) return "str";
  if (value.as_dict() != nullptr) return "dict";
  if (value.as_range() != nullptr) return "range";
  if (const Object* object = value.as_object()) return object->type_name();
  switch (value.as_sequence()->type) {
    case SequenceType::kList:
      return "list";
    case SequenceType::kTuple:
      return "tuple";
    case SequenceType::kKeysView:
      return "dict_keys";
    case SequenceType::kValuesView:
      return "dict_values";
    case SequenceType::kItemsView:
      return "dict_items";
    case SequenceType::kGenerator:
      break;
  }
  return "generator";
}

bool truthy(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const auto number = number_of(value)) return number->number != 0;
  if (const Text* text = value.as_text()) return !text->bytes.empty();
  if (const Dict* dict = value.as_dict()) return !dict->items.empty();
  if (const Range* range = value.as_range()) return range->size > 0;
  if (const Sequence* sequence = value.as_sequence()) {
    return sequence->type == SequenceType::kGenerator || !sequence->items.empty();
  }
  return true;
}

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge_work();
  const auto left = number_of(a);
  const auto right = number_of(b);
  if (left && right) return numbers_equal(*left, *right);
  if (a.as_text() != nullptr && b.as_text() != nullptr) {
    return a.as_text()->bytes == b.as_text()->bytes;
  }
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.as_sequence() != nullptr && b.as_sequence() != nullptr) {
    if (a.as_sequence() == b.as_sequence()) return true;
    return sequences_equal(runtime, *a.as_sequence(), *b.as_sequence());
  }
  if (a.as_dict() != nullptr && b.as_dict() != nullptr) {
    return a.as_dict() == b.as_dict() || dicts_equal(runtime, *a.as_dict(), *b.as_dict());
  }
  if (a.as_range() != nullptr && b.as_range() != nullptr) {
    const Range& x = *a.as_range();
    const Range& y = *b.as_range();
    return x.size == y.size && (x.size == 0 || x.start == y.start) &&
           (x.size < 2 || x.step == y.step);
  }
  return a.as_object() != nullptr && a.as_object() == b.as_object();
}

bool less(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge_work();
  const auto left = number_of(a);
  const auto right = number_of(b);
  if (left && right) {
    return !left->is_float && !right->is_float ? left->integer < right->integer
                                               : left->number < right->number;
  }
  // UTF-8 sorts by bytes as Python sorts by code points.
  if (a.as_text() != nullptr && b.as_text() != nullptr) {
    return a.as_text()->bytes < b.as_text()->bytes;
  }
  const Sequence* x = a.as_sequence();
  const Sequence* y = b.as_sequence();
  const bool ordered = x != nullptr && y != nullptr && x->type == y->type &&
                       (x->type == SequenceType::kList || x->type == SequenceType::kTuple);
  if (!ordered) refuse_operands("<", a, b);
  for (size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i) {
    if (!equal(runtime, x->items[i], y->items[i])) return less(runtime, x->items[i], y->items[i]);
  }
  return x->items.size() < y->items.size();
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const Text* text = container.as_text()) {
    const Text* part = item.as_text();
    if (part == nullptr) {
      fail("'in <string>' requires a string as left operand, not " + std::string(type_name(item)));
    }
    runtime.charge_bytes(text->bytes.size() + part->bytes.size());
    return text->bytes.find(part->bytes) != std::string::npos;
  }
  if (const Dict* dict = container.as_dict()) return find_key(runtime, *dict, item) != SIZE_MAX;
  if (const Range* range = container.as_range()) {
    int64_t storage = 0;
    const int64_t* wanted = integer_of(item, storage);
    if (wanted == nullptr) return false;
    const bool behind = range->step > 0 ? *wanted < range->start : *wanted > range->start;
    if (behind) return false;
    const auto a = static_cast<uint64_t>(*wanted);
    const auto b = static_cast<uint64_t>(range->start);
    const auto step = static_cast<uint64_t>(range->step);
    const uint64_t offset = range->step > 0 ? a - b : b - a;
    const uint64_t stride = range->step > 0 ? step : uint64_t{0} - step;
    return offset % stride == 0 && offset / stride < static_cast<uint64_t>(range->size);
  }
  if (container.is_undefined()) return false;
  for (const Value& element : elements_of(runtime, container)) {
    if (equal(runtime, element, item)) return true;
  }
  return false;
}

bool compare(Runtime& runtime, Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::kEqual:
      return equal(runtime, a, b);
    case Op::kNotEqual:
      return !equal(runtime, a, b);
    case Op::kLess:
      return less(runtime, a, b);
    case Op::kGreater:
      return less(runtime, b, a);
    case Op::kLessEqual:
      return less(runtime, a, b) || equal(runtime, a, b);
    case Op::kGreaterEqual:
      return less(runtime, b, a) || equal(runtime, a, b);
    case Op::kIn:
      return contains(runtime, b, a);
    default:
      return !contains(runtime, b, a);
  }
}

Value arithmetic(Runtime& runtime, Op op, const Value& a, const Value& b) {
  const auto left = number_of(a);
  const auto right = number_of(b);
  if (left && right) {
    if (!left->is_float && !right->is_float) {
      return integer_arithmetic(runtime, op, left->integer, right->integer);
    }
    return float_arithmetic(op, left->number, right->number);
  }
  if (op == Op::kAdd) return concatenate(runtime, a, b);
  if (op == Op::kModulo && a.as_text() != nullptr) return percent_format(runtime, *a.as_text(), b);
  if (op == Op::kMultiply && repeatable(a) && right && !right->is_float) {
    return repeat(runtime, a, right->integer);
  }
  if (op == Op::kMultiply && repeatable(b) && left && !left->is_float) {
    return repeat(runtime, b, left->integer);
  }
  refuse_operands(symbol_of(op), a, b);
}

Value negate(const Value& value, bool minus) {
  const auto number = number_of(value);
  if (!number) {
    if (value.is_undefined()) fail(value.undefined_message());
    fail("a sign cannot stand before a value of type " + std::string(type_name(value)));
  }
  if (number->is_float) return Value(minus ? -number->number : number->number);
  if (!minus) return Value(number->integer);
  int64_t out = 0;
  return integer_result(__builtin_sub_overflow(int64_t{0}, number->integer, &out), out);
}

}  // namespace quern::chat
