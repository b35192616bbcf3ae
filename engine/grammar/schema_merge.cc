// Rules of joining, keyword by keyword. No recursion: parts wait in a list.
#include "engine/grammar/schema_merge.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace quern::grammar {
namespace {

constexpr size_t kMaxParts = 256;
constexpr size_t kMaxChoices = 64;

// Joined together by merge_objects.
constexpr std::array<std::string_view, 3> kObjectKeywords = {"properties", "required",
                                                             "additionalProperties"};

bool is_object_keyword(std::string_view name) {
  return std::find(kObjectKeywords.begin(), kObjectKeywords.end(), name) != kObjectKeywords.end();
}

// "%41" to "A", then "~1" to "/" and "~0" to "~".
std::string unescaped(std::string_view token) {
  std::string bytes;
  for (size_t i = 0; i < token.size(); ++i) {
    unsigned value = 0;
    const char* hex = token.data() + i + 1;
    if (token[i] == '%' && i + 2 < token.size() &&
        std::from_chars(hex, hex + 2, value, 16).ptr == hex + 2) {
      bytes += static_cast<char>(value);
      i += 2;
    } else {
      bytes += token[i];
    }
  }
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const bool escape = bytes[i] == '~' && i + 1 < bytes.size();
    if (escape && (bytes[i + 1] == '0' || bytes[i + 1] == '1')) {
      out += bytes[++i] == '0' ? '~' : '/';
    } else {
      out += bytes[i];
    }
  }
  return out;
}

Json as_list(const Json& value) { return value.is_array() ? value : Json::array({value}); }

bool contains(const Json& list, const Json& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// Types both lists allow. Integers are numbers.
Json common_types(const Json& a, const Json& b) {
  Json out = Json::array();
  for (const Json& type : as_list(a)) {
    if (contains(as_list(b), type) || (type == "integer" && contains(as_list(b), "number"))) {
      out.push_back(type);
    } else if (type == "number" && contains(as_list(b), "integer")) {
      out.push_back("integer");
    }
  }
  return out;
}

Json wrapped(const Json& a, const Json& b) {
  if (a == b) return a;
  return Json{{"allOf", Json::array({a, b})}};
}

}  // namespace

Result<SchemaRef> SchemaMerger::resolve(const SchemaRef& at, const Json& reference) const {
  if (!reference.is_string()) {
    return schema_error(ErrorKind::kInvalidInput, at, "$ref", "must be a string");
  }
  const std::string& text = reference.get_ref<const std::string&>();
  if (text != "#" && !text.starts_with("#/")) {
    return schema_error(ErrorKind::kUnsupported, at, "$ref",
                        "only references inside the schema (\"#/...\") are supported; nothing is "
                        "fetched");
  }
  SchemaRef out{&root_, "#"};
  std::string_view rest = std::string_view(text).substr(1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('/', 1), rest.size());
    const std::string key = unescaped(rest.substr(1, end - 1));
    rest.remove_prefix(end);
    const Json* next = nullptr;
    if (out.schema->is_object()) {
      next = find_in(*out.schema, key);
    } else if (out.schema->is_array()) {
      size_t index = 0;
      const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), index);
      const bool whole = error == std::errc() && stop == key.data() + key.size();
      if (whole && index < out.schema->size()) next = &(*out.schema)[index];
    }
    if (next == nullptr) {
      return schema_error(ErrorKind::kInvalidInput, at, "$ref",
                          "points to " + text.substr(0, 200) + ", which does not exist");
    }
    out = {next, pointer_below(out.path, key)};
  }
  return out;
}

SchemaRef SchemaMerger::keep(Json schema, const std::string& path) {
  std::string text = dump_json(schema);
  const auto it = by_text_.find(text);
  if (it != by_text_.end()) return {it->second, path};
  made_.push_back(std::move(schema));
  by_text_.emplace(std::move(text), &made_.back());
  return {&made_.back(), path};
}

SchemaRef SchemaMerger::all_of(const std::vector<const Json*>& parts, const std::string& path) {
  Json list = Json::array();
  for (const Json* part : parts) list.push_back(*part);
  return keep(Json{{"allOf", std::move(list)}}, path);
}

Result<SchemaRef> SchemaMerger::flatten(const SchemaRef& at) {
  if (!at.schema->is_object()) return at;
  if (find_in(*at.schema, "$ref") == nullptr && find_in(*at.schema, "allOf") == nullptr) return at;
  Json all = Json::object();
  std::vector<SchemaRef> waiting = {at};
  for (size_t done = 0; !waiting.empty(); ++done) {
    QUERN_RETURN_IF_ERROR(budget_.spend(16));
    if (done + waiting.size() > kMaxParts) {
      return schema_error(ErrorKind::kInvalidInput, at, "allOf",
                          "joins more than " + std::to_string(kMaxParts) +
                              " schemas, or refers to itself; make it simpler");
    }
    const SchemaRef part = waiting.back();
    waiting.pop_back();
    if (part.schema->is_boolean()) {
      if (!part.schema->get<bool>()) return keep(Json(false), at.path);
      continue;
    }
    if (!part.schema->is_object()) {
      return schema_error(ErrorKind::kInvalidInput, part, "allOf", "must hold schemas");
    }
    QUERN_RETURN_IF_ERROR(check_keywords(part));
    Json own = Json::object();
    std::vector<SchemaRef> below;
    for (const auto& [name, value] : part.schema->items()) {
      if (name == "$ref") {
        QUERN_ASSIGN_OR_RETURN(SchemaRef target, resolve(part, value));
        below.push_back(std::move(target));
      } else if (name == "allOf") {
        if (!value.is_array() || value.empty()) {
          return schema_error(ErrorKind::kInvalidInput, part, name,
                              "must be a list of at least one schema");
        }
        for (size_t i = 0; i < value.size(); ++i) {
          below.push_back({&value[i], part.path + "/allOf/" + std::to_string(i)});
        }
      } else if (find_keyword(name)->use == KeywordUse::kApplied) {
        own[name] = value;
      }
    }
    QUERN_RETURN_IF_ERROR(merge_into(all, part, own));
    waiting.insert(waiting.end(), below.rbegin(), below.rend());
  }
  return keep(std::move(all), at.path);
}

Status SchemaMerger::merge_into(Json& all, const SchemaRef& part, const Json& own) {
  // "items" speaks of what "prefixItems" beside it leaves, so lists of different schemas do not add
  // up keyword by keyword.
  for (const std::string_view name : {"prefixItems", "additionalItems", "items"}) {
    const Json* value = find_in(own, name);
    const bool mixed = all.contains("prefixItems") || all.contains("additionalItems") ||
                       (all.contains("items") && (name != "items" || value == nullptr ||
                                                  value->is_array() || all["items"].is_array()));
    if (value != nullptr && mixed) {
      return schema_error(ErrorKind::kUnsupported, part, name,
                          "cannot be joined with the list of another schema that must hold here "
                          "too; write one schema for both");
    }
  }
  QUERN_RETURN_IF_ERROR(merge_objects(all, part, own));
  for (const auto& [name, value] : own.items()) {
    if (!is_object_keyword(name)) QUERN_RETURN_IF_ERROR(merge_keyword(all, part, name, value));
  }
  return ok_status();
}

// Properties that only one side names must satisfy what the other says about additional ones.
Status SchemaMerger::merge_objects(Json& all, const SchemaRef& part, const Json& own) {
  const Json* more = find_in(own, "properties");
  const Json* required = find_in(own, "required");
  for (const auto& [keyword, value, fits] :
       {std::tuple{"properties", more, more == nullptr || more->is_object()},
        std::tuple{"required", required, required == nullptr || required->is_array()}}) {
    if (!fits) {
      return schema_error(ErrorKind::kInvalidInput, part, keyword, "is of the wrong type");
    }
  }
  const Json* mine = find_in(own, "additionalProperties");
  const Json* theirs_found = find_in(all, "additionalProperties");
  const Json theirs = theirs_found == nullptr ? Json() : *theirs_found;
  const Json before = all.contains("properties") ? all["properties"] : Json::object();
  Json joined = before;
  if (more != nullptr) {
    for (const auto& [name, schema] : more->items()) {
      if (before.contains(name)) {
        joined[name] = wrapped(before[name], schema);
      } else {
        joined[name] = theirs.is_null() ? schema : wrapped(schema, theirs);
      }
    }
  }
  if (mine != nullptr) {
    for (const auto& [name, schema] : before.items()) {
      if (more == nullptr || !more->contains(name)) joined[name] = wrapped(joined[name], *mine);
    }
    all["additionalProperties"] = theirs.is_null() ? *mine : wrapped(theirs, *mine);
  }
  if (more != nullptr || all.contains("properties")) all["properties"] = std::move(joined);
  if (required != nullptr) {
    if (!all.contains("required")) all["required"] = Json::array();
    for (const Json& name : *required) {
      if (!contains(all["required"], name)) all["required"].push_back(name);
    }
  }
  return ok_status();
}

Status SchemaMerger::merge_keyword(Json& all, const SchemaRef& part, const std::string& name,
                                   const Json& value) {
  if (name == "const") return merge_keyword(all, part, "enum", Json::array({value}));
  const auto it = all.find(name);
  if (it == all.end()) {
    all[name] = value;
    return ok_status();
  }
  Json& known = *it;
  if (known == value) return ok_status();
  const bool numbers = known.is_number() && value.is_number();
  if (name == "type") {
    known = common_types(known, value);
  } else if (name == "enum" && known.is_array() && value.is_array()) {
    Json both = Json::array();
    for (const Json& item : known) {
      if (contains(value, item)) both.push_back(item);
    }
    known = std::move(both);
  } else if (numbers && (name.starts_with("min") || name == "exclusiveMinimum")) {
    if (value > known) known = value;
  } else if (numbers && (name.starts_with("max") || name == "exclusiveMaximum")) {
    if (value < known) known = value;
  } else if (name == "uniqueItems") {
    known = known == true || value == true;
  } else if (name == "items") {
    known = wrapped(known, value);
  } else if (name == "anyOf") {
    return merge_choices(all, part, name, value);
  } else {
    return schema_error(ErrorKind::kUnsupported, part, name,
                        "cannot be joined with the same keyword of another schema that must hold "
                        "here too; write one schema for both");
  }
  return ok_status();
}

// Both lists of alternatives hold: one of each, in every combination.
Status SchemaMerger::merge_choices(Json& all, const SchemaRef& part, const std::string& name,
                                   const Json& value) {
  Json& known = all[name];
  if (!known.is_array() || !value.is_array()) {
    return schema_error(ErrorKind::kInvalidInput, part, name, "must be a list of schemas");
  }
  if (known.size() * value.size() > kMaxChoices) {
    return schema_error(ErrorKind::kUnsupported, part, name,
                        "together with another anyOf makes more than " +
                            std::to_string(kMaxChoices) + " combinations; make it simpler");
  }
  Json pairs = Json::array();
  for (const Json& a : known) {
    for (const Json& b : value) pairs.push_back(wrapped(a, b));
  }
  known = std::move(pairs);
  return ok_status();
}

}  // namespace quern::grammar
