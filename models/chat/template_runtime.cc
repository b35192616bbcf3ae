// Budgets and construction of values; see template_runtime.h.
#include "models/chat/template_runtime.h"

#include <algorithm>

#include "models/chat/template_operators.h"

namespace quern::chat {
namespace {

int depth_of(const Value& value) {
  if (const Sequence* sequence = value.as_sequence()) return sequence->depth;
  if (const Dict* dict = value.as_dict()) return dict->depth;
  return 0;
}

void check_depth(int depth) {
  if (depth > TemplateLimits::kValueDepth) {
    fail("lists and dicts are nested deeper than " + std::to_string(TemplateLimits::kValueDepth));
  }
}

bool hashable(const Value& value) {
  if (const Sequence* sequence = value.as_sequence()) {
    if (sequence->type != SequenceType::kTuple) return sequence->type == SequenceType::kGenerator;
    return std::all_of(sequence->items.begin(), sequence->items.end(), hashable);
  }
  return value.as_dict() == nullptr;
}

void require_hashable(const Value& key) {
  if (!hashable(key)) fail("a " + std::string(type_name(key)) + " cannot be a dict key");
}

}  // namespace

void fail(std::string message) { throw TemplateError{std::move(message)}; }

// Overrides take the arguments over.
Value Object::call(Runtime&, Arguments) {  // NOLINT(performance-unnecessary-value-param)
  fail("a " + std::string(type_name()) + " object is not callable");
}

void Runtime::set_input_bytes(uint64_t input_bytes) {
  bytes_ += TemplateLimits::kBytesPerInputByte * input_bytes;
  output_limit = TemplateLimits::kOutputBytes + TemplateLimits::kOutputPerInputByte * input_bytes;
}

void Runtime::limit_to_probe() {
  steps_ /= TemplateLimits::kProbeShare;
  work_ /= TemplateLimits::kProbeShare;
  bytes_ /= TemplateLimits::kProbeShare / 4;
}

void Runtime::exhausted(const char* what) {
  steps_ = work_ = bytes_ = 0;
  fail(std::string("the rendering exceeds its budget of ") + what +
       "; shorten the conversation or fix the template's loops");
}

Value Runtime::text(Text text) {
  charge_bytes(text.bytes.size() + 32);
  return Value(std::make_shared<const Text>(std::move(text)));
}

Value Runtime::text(std::string bytes, bool from_user) {
  Text text;
  text.bytes = std::move(bytes);
  if (from_user && !text.bytes.empty()) text.user.push_back({0, text.bytes.size()});
  return this->text(std::move(text));
}

Value Runtime::sequence(SequenceType type, std::vector<Value> items) {
  charge_work(items.size() + 1);
  charge_bytes(items.size() * sizeof(Value) + sizeof(Sequence));
  auto made = std::make_shared<Sequence>();
  made->type = type;
  for (const Value& item : items) made->depth = std::max(made->depth, depth_of(item) + 1);
  check_depth(made->depth);
  made->items = std::move(items);
  return Value(SequenceRef(std::move(made)));
}

// The items are moved from one by one.
// NOLINTNEXTLINE(performance-unnecessary-value-param)
Value Runtime::dict(std::vector<std::pair<Value, Value>> items) {
  charge_work(2 * items.size() + 1);
  charge_bytes(items.size() * 4 * sizeof(Value) + sizeof(Dict));
  auto made = std::make_shared<Dict>();
  made->items.reserve(items.size());
  for (auto& [key, value] : items) {
    const size_t at = find_key(*this, *made, key);
    made->depth = std::max({made->depth, depth_of(key) + 1, depth_of(value) + 1});
    if (at != SIZE_MAX) {
      made->items[at].second = std::move(value);
      continue;
    }
    if (const Text* text = key.as_text()) {
      made->by_text.emplace(text->bytes, made->items.size());  // the key keeps the bytes alive
    } else {
      ++made->other_keys;
    }
    made->items.emplace_back(std::move(key), std::move(value));
  }
  check_depth(made->depth);
  return Value(DictRef(std::move(made)));
}

size_t find_key(Runtime& runtime, const Dict& dict, const Value& key) {
  if (const Text* text = key.as_text()) {
    const auto found = dict.by_text.find(text->bytes);
    return found == dict.by_text.end() ? SIZE_MAX : found->second;
  }
  require_hashable(key);
  if (dict.other_keys == 0) return SIZE_MAX;
  runtime.charge_work(dict.items.size());
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (dict.items[i].first.as_text() == nullptr && equal(runtime, dict.items[i].first, key)) {
      return i;
    }
  }
  return SIZE_MAX;
}

}  // namespace quern::chat
