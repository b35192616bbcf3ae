// Implements template_loop.h.
#include "models/chat/template_loop.h"

#include <utility>

#include "models/chat/template_operators.h"

namespace quern::chat {
namespace {

class LoopMethod final : public Object {
 public:
  LoopMethod(LoopObject& loop, bool changed) : loop_(loop), changed_(changed) {}
  std::string_view type_name() const override { return "method"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, Arguments arguments) override {
    if (!arguments.named.empty()) fail("loop.cycle and loop.changed take no named arguments");
    return changed_ ? loop_.changed(runtime, arguments) : loop_.cycle(arguments);
  }

 private:
  LoopObject& loop_;
  bool changed_;
};

}  // namespace

LoopItems::LoopItems(Runtime& runtime, const Value& iterable) {
  if (iterable.as_range() != nullptr) {
    range_ = iterable.range_ref();
  } else {
    items_ = elements_of(runtime, iterable);
  }
}

bool LoopObject::attribute(Runtime& runtime, std::string_view name, Value& out) {
  const auto integer = [](size_t value) { return Value(static_cast<int64_t>(value)); };
  const size_t size = items_.size();
  if (name == "index") {
    out = integer(index_ + 1);
  } else if (name == "index0") {
    out = integer(index_);
  } else if (name == "revindex") {
    out = integer(size - index_);
  } else if (name == "revindex0") {
    out = integer(size - index_ - 1);
  } else if (name == "first") {
    out = Value(index_ == 0);
  } else if (name == "last") {
    out = Value(index_ + 1 == size);
  } else if (name == "length") {
    out = integer(size);
  } else if (name == "depth") {
    out = integer(1);
  } else if (name == "depth0") {
    out = integer(0);
  } else if (name == "previtem") {
    out = index_ == 0 ? Value::undefined("there is no previous item") : items_.at(index_ - 1);
  } else if (name == "nextitem") {
    out = index_ + 1 == size ? Value::undefined("there is no next item") : items_.at(index_ + 1);
  } else if (name == "cycle" || name == "changed") {
    out = Value(static_cast<Object*>(runtime.make<LoopMethod>(*this, name == "changed")));
  } else {
    return false;
  }
  return true;
}

Value LoopObject::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) fail("loop.cycle needs at least one item");
  return arguments.positional[index_ % arguments.positional.size()];
}

Value LoopObject::changed(Runtime& runtime, const Arguments& arguments) {
  bool same = has_last_ && last_changed_.size() == arguments.positional.size();
  for (size_t i = 0; same && i < last_changed_.size(); ++i) {
    same = equal(runtime, last_changed_[i], arguments.positional[i]);
  }
  has_last_ = true;
  last_changed_ = arguments.positional;
  return Value(!same);
}

}  // namespace quern::chat
