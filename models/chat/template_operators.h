// Python's operators, truth, equality, order, str() and repr() on template values.
//
// All work is charged to the runtime. Each function fails (TemplateError) where Python raises.
#pragma once

#include <string_view>
#include <vector>

#include "models/chat/template_ast.h"
#include "models/chat/template_runtime.h"
#include "models/chat/template_value.h"

namespace quern::chat {

std::string_view type_name(const Value& value);  // as Python's type(x).__name__
bool truthy(const Value& value);
bool equal(Runtime& runtime, const Value& a, const Value& b);
bool less(Runtime& runtime, const Value& a, const Value& b);
bool contains(Runtime& runtime, const Value& container, const Value& item);
bool compare(Runtime& runtime, Op op, const Value& a, const Value& b);
Value arithmetic(Runtime& runtime, Op op, const Value& a, const Value& b);
Value negate(const Value& value, bool minus);

// str(value) and repr(value); marks of strings inside survive.
TextRef to_text(Runtime& runtime, const Value& value);
void append_text(Runtime& runtime, TextBuilder& out, const Value& value);
void append_repr(Runtime& runtime, TextBuilder& out, const Value& value);
std::string float_repr(double value);

// Length of a sized value. Fails for others.
int64_t length_of(Runtime& runtime, const Value& value);
// The elements of an iterable as Python would yield them; fails for others. Uses up generators.
std::vector<Value> elements_of(Runtime& runtime, const Value& value);
bool is_iterable(const Value& value);

// object.name (methods first) and object[key] (elements first), as Jinja looks them up; what is
// not there is undefined.
Value get_attribute(Runtime& runtime, const Value& object, std::string_view name);
Value get_item(Runtime& runtime, const Value& object, const Value& key);
// object[start:stop:step]; null parts are left out.
Value get_slice(Runtime& runtime, const Value& object, const Value* start, const Value* stop,
                const Value* step);

// An integer (bool counts) or nothing.
const int64_t* integer_of(const Value& value, int64_t& storage);

}  // namespace quern::chat
