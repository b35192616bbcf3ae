// Implements template_functions.h.
#include "models/chat/template_functions.h"

#include <algorithm>
#include <string>

#include "models/chat/template_arguments.h"
#include "models/chat/template_formatting.h"
#include "models/chat/template_operators.h"

namespace quern::chat {
namespace {

class Function final : public Object {
 public:
  using Body = Value (*)(Runtime&, const Arguments&);
  explicit Function(Body body) : body_(body) {}
  std::string_view type_name() const override { return "function"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, Arguments arguments) override { return body_(runtime, arguments); }

 private:
  Body body_;
};

// cycler(a, b, ...): next(), reset() and current.
class Cycler final : public Object {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {}
  std::string_view type_name() const override { return "jinja2.utils.Cycler"; }
  bool attribute(Runtime& runtime, std::string_view name, Value& out) override;
  Value current() const { return items_[at_]; }
  Value next() {
    Value value = items_[at_];
    at_ = (at_ + 1) % items_.size();
    return value;
  }
  void reset() { at_ = 0; }

 private:
  std::vector<Value> items_;
  size_t at_ = 0;
};

class CyclerMethod final : public Object {
 public:
  CyclerMethod(Cycler& cycler, bool reset) : cycler_(cycler), reset_(reset) {}
  std::string_view type_name() const override { return "method"; }
  bool callable() const override { return true; }
  Value call(Runtime&, Arguments arguments) override {
    const BoundArguments bound("a cycler's method", arguments, {}, 0);
    if (!reset_) return cycler_.next();
    cycler_.reset();
    return Value(None{});
  }

 private:
  Cycler& cycler_;
  bool reset_;
};

bool Cycler::attribute(Runtime& runtime, std::string_view name, Value& out) {
  if (name == "current") {
    out = current();
    return true;
  }
  if (name != "next" && name != "reset") return false;
  out = Value(static_cast<Object*>(runtime.make<CyclerMethod>(*this, name == "reset")));
  return true;
}

// joiner(separator): the separator, except at the first call.
class Joiner final : public Object {
 public:
  Joiner(Value first, Value separator) : next_(std::move(first)), then_(std::move(separator)) {}
  std::string_view type_name() const override { return "jinja2.utils.Joiner"; }
  bool callable() const override { return true; }
  Value call(Runtime&, Arguments arguments) override {
    const BoundArguments bound("a joiner", arguments, {}, 0);
    return std::exchange(next_, then_);
  }

 private:
  Value next_;
  Value then_;
};

Value call_cycler(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty()) {
    fail("cycler needs at least one item");
  }
  return Value(static_cast<Object*>(runtime.make<Cycler>(arguments.positional)));
}

Value call_joiner(Runtime& runtime, const Arguments& arguments) {
  const BoundArguments bound("joiner", arguments, {"sep"}, 0);
  const Value separator = bound[0] == nullptr ? runtime.text(std::string(", ")) : *bound[0];
  return Value(static_cast<Object*>(runtime.make<Joiner>(runtime.text(std::string()), separator)));
}

// Items of a dict, or of an iterable of pairs.
std::vector<std::pair<Value, Value>> pairs_of(Runtime& runtime, const Value& source) {
  if (const Dict* dict = source.as_dict()) {
    runtime.charge_work(dict->items.size());
    return dict->items;
  }
  std::vector<std::pair<Value, Value>> pairs;
  for (const Value& item : elements_of(runtime, source)) {
    std::vector<Value> parts = elements_of(runtime, item);
    if (parts.size() != 2) fail("dict needs pairs of key and value");
    pairs.emplace_back(std::move(parts[0]), std::move(parts[1]));
  }
  return pairs;
}

Value call_dict(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.size() > 1) fail("dict takes at most one positional argument");
  std::vector<std::pair<Value, Value>> items;
  if (!arguments.positional.empty()) items = pairs_of(runtime, arguments.positional[0]);
  for (const auto& [name, value] : arguments.named) items.emplace_back(runtime.text(name), value);
  return runtime.dict(std::move(items));
}

Value call_namespace(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.size() > 1) fail("namespace takes at most one positional argument");
  auto* made = runtime.make<Namespace>();
  if (!arguments.positional.empty()) {
    for (const auto& [key, value] : pairs_of(runtime, arguments.positional[0])) {
      made->set(runtime, to_text(runtime, key)->bytes, value);
    }
  }
  for (const auto& [name, value] : arguments.named) made->set(runtime, name, value);
  return Value(static_cast<Object*>(made));
}

Value call_range(Runtime&, const Arguments& arguments) {
  const BoundArguments bound("range", arguments, {"start", "stop", "step"}, 1);
  if (!arguments.named.empty()) fail("range takes no named arguments");
  auto range = std::make_shared<Range>();
  int64_t stop = bound.integer(0, 0);
  if (bound[1] != nullptr) {
    range->start = stop;
    stop = bound.integer(1, 0);
  }
  range->step = bound.integer(2, 1);
  if (range->step == 0) fail("the step of range must not be zero");
  // Differences as unsigned numbers: exact for any pair of integers in order.
  const bool rising = range->step > 0;
  const auto low = static_cast<uint64_t>(rising ? range->start : stop);
  const auto high = static_cast<uint64_t>(rising ? stop : range->start);
  const uint64_t stride = rising ? static_cast<uint64_t>(range->step)
                                 : uint64_t{0} - static_cast<uint64_t>(range->step);
  const bool empty = rising ? stop <= range->start : stop >= range->start;
  const uint64_t size = empty ? 0 : (high - low - 1) / stride + 1;
  if (size > static_cast<uint64_t>(TemplateLimits::kRange)) {
    fail("a range has more than " + std::to_string(TemplateLimits::kRange) + " elements");
  }
  range->size = static_cast<int64_t>(size);
  return Value(RangeRef(std::move(range)));
}

Value call_raise_exception(Runtime& runtime, const Arguments& arguments) {
  const BoundArguments bound("raise_exception", arguments, {"message"}, 1);
  fail(to_text(runtime, *bound[0])->bytes.substr(0, 4096));
}

Value call_strftime_now(Runtime& runtime, const Arguments& arguments) {
  const BoundArguments bound("strftime_now", arguments, {"format"}, 1);
  const Text& format = bound.text(0);
  runtime.charge_bytes(format.bytes.size() * 16);
  return runtime.text(format_time(format.bytes, runtime.now_unix_s));
}

struct FunctionRow {
  std::string_view name;
  Function::Body body;
};

constexpr FunctionRow kFunctions[] = {
    {"cycler", call_cycler},
    {"dict", call_dict},
    {"joiner", call_joiner},
    {"namespace", call_namespace},
    {"raise_exception", call_raise_exception},
    {"range", call_range},
    {"strftime_now", call_strftime_now},
};

}  // namespace

bool Namespace::attribute(Runtime& runtime, std::string_view name, Value& out) {
  runtime.charge_work(attributes_.size() / 8 + 1);
  for (const auto& [key, value] : attributes_) {
    if (key != name) continue;
    out = value;
    return true;
  }
  return false;
}

void Namespace::set(Runtime& runtime, std::string_view name, Value value) {
  runtime.charge_work(attributes_.size() / 8 + 1);
  for (auto& [key, held] : attributes_) {
    if (key != name) continue;
    held = std::move(value);
    return;
  }
  runtime.charge_bytes(name.size() + 64);
  attributes_.emplace_back(name, std::move(value));
}

std::vector<std::pair<std::string_view, Value>> global_functions(Runtime& runtime) {
  std::vector<std::pair<std::string_view, Value>> out;
  for (const FunctionRow& row : kFunctions) {
    out.emplace_back(row.name, Value(static_cast<Object*>(runtime.make<Function>(row.body))));
  }
  return out;
}

}  // namespace quern::chat
