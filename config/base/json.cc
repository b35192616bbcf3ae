// The bounded SAX reader behind parse_json. It builds the document itself: the library's own reader
// has no limits and looks up every key of an object linearly, which is quadratic in outside input.
#include "config/base/json.h"

#include <cstdint>
#include <unordered_set>
#include <utility>
#include <vector>

namespace quern {
namespace {

class BoundedReader {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  explicit BoundedReader(const JsonLimits& limits) : limits_(limits) {}

  bool null() { return add(Json(nullptr)); }
  bool boolean(bool value) { return add(Json(value)); }
  bool number_integer(number_integer_t value) { return add(Json(value)); }
  bool number_unsigned(number_unsigned_t value) { return add(Json(value)); }
  bool number_float(number_float_t value, const string_t&) { return add(Json(value)); }
  bool string(string_t& value) { return add(Json(std::move(value))); }
  bool binary(binary_t&) { return refuse("holds binary data, which JSON text cannot"); }

  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() {
    open_.pop_back();
    return true;
  }
  bool end_array() { return end_object(); }

  bool key(string_t& name) {
    Level& level = open_.back();
    if (name.size() > limits_.max_key_bytes) {
      return refuse("has a key longer than " + std::to_string(limits_.max_key_bytes) + " bytes");
    }
    if (level.keys.size() >= limits_.max_object_keys) {
      return refuse("has an object with more than " + std::to_string(limits_.max_object_keys) +
                    " keys");
    }
    if (!level.keys.insert(name).second) {
      return refuse("has the key " + dump_json(Json(name.substr(0, 100))) +
                    " twice in one object; send each key once");
    }
    level.key = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& cause) {
    // The library's text is "[json.exception.parse_error.101] parse error at ...: detail".
    const std::string_view text = cause.what();
    const size_t colon = text.find(": ");
    const std::string_view detail =
        colon == std::string_view::npos ? text : text.substr(colon + 2, 300);
    return refuse("is malformed at byte " + std::to_string(position) + ": " +
                  printable(std::string(detail)));
  }

  Result<Json> finish(bool accepted) && {
    if (accepted) return std::move(root_);
    if (problem_.empty()) problem_ = "is malformed";
    return Error(ErrorKind::kInvalidInput, "The JSON text " + problem_ + ".");
  }

 private:
  struct Level {
    Json* container;  // stays valid: its parent does not grow while it is open
    std::string key;
    std::unordered_set<std::string> keys;
  };

  static std::string printable(std::string text) {
    while (!text.empty() && text.back() == '.') text.pop_back();
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    const std::string quoted = dump_json(Json(text));  // replaces bytes that are not UTF-8
    return Json::parse(quoted, nullptr, false).get<std::string>();
  }

  bool refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  // Stores a value where the reader stands; returns its place, or nothing if the node limit is hit.
  Json* place(Json&& value) {
    if (++nodes_ > limits_.max_nodes) {
      refuse("holds more than " + std::to_string(limits_.max_nodes) + " values");
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = open_.back();
    if (level.container->is_array()) {
      auto& items = level.container->get_ref<Json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    // The base vector's method: the key is known to be new, so no search.
    auto& members =
        static_cast<Json::object_t::Container&>(level.container->get_ref<Json::object_t&>());
    members.emplace_back(std::move(level.key), std::move(value));
    return &members.back().second;
  }

  bool add(Json&& value) { return place(std::move(value)) != nullptr; }

  bool open(Json&& container) {
    if (open_.size() >= limits_.max_depth) {
      return refuse("is nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    }
    Json* at = place(std::move(container));
    if (at == nullptr) return false;
    open_.push_back(Level{at, {}, {}});
    return true;
  }

  const JsonLimits limits_;
  Json root_;
  std::vector<Level> open_;
  size_t nodes_ = 0;
  std::string problem_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Error(ErrorKind::kInvalidInput, "The JSON text is " + std::to_string(text.size()) +
                                               " bytes long; the limit is " +
                                               std::to_string(limits.max_bytes) + ".");
  }
  // The library takes a NUL byte for the end of the text and would ignore what follows.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return Error(ErrorKind::kInvalidInput, "The JSON text is malformed at byte " +
                                               std::to_string(nul) + ": it holds a NUL byte.");
  }
  BoundedReader reader(limits);
  const bool accepted = Json::sax_parse(text.begin(), text.end(), &reader);
  return std::move(reader).finish(accepted);
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace quern
