// Schemas become rules one by one from a list of those that wait; no recursion on the document.
#include "engine/grammar/json_schema.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <set>

#include "engine/grammar/json_text.h"
#include "engine/grammar/schema_keywords.h"
#include "engine/grammar/schema_merge.h"
#include "engine/grammar/schema_types.h"

namespace quern::grammar {
namespace {

constexpr std::array<std::string_view, 7> kTypes = {"object",  "array",   "string", "number",
                                                    "integer", "boolean", "null"};

// Which types a schema allows, as bits in the order of kTypes. Integers count as numbers too.
using TypeSet = uint32_t;
constexpr TypeSet kAnyType = (1U << kTypes.size()) - 1;

TypeSet type_bit(std::string_view name) {
  const auto it = std::find(kTypes.begin(), kTypes.end(), name);
  return it == kTypes.end() ? 0 : 1U << (it - kTypes.begin());
}
constexpr std::string_view kNumber = "number";

// Numbers include integers, so that two sets are disjoint exactly when no bit is common.
TypeSet widened(TypeSet types) {
  return (types & type_bit(kNumber)) != 0 ? types | type_bit("integer") : types;
}

TypeSet type_of(const Json& value) {
  if (value.is_object()) return type_bit("object");
  if (value.is_array()) return type_bit("array");
  if (value.is_string()) return type_bit("string");
  if (value.is_boolean()) return type_bit("boolean");
  if (value.is_null()) return type_bit("null");
  const double number = value.get<double>();
  const bool whole =
      value.is_number_integer() ||
      number == static_cast<double>(static_cast<int64_t>(std::clamp(number, -9e18, 9e18)));
  return whole ? type_bit("integer") : type_bit(kNumber);
}

class SchemaCompiler {
 public:
  SchemaCompiler(const Json& root, Grammar& into)
      : grammar_(into), json_(into), merger_(root, into.budget()), root_{&root, "#"} {}

  Status run() {
    grammar_.set_root(rule_for(root_));
    while (!waiting_.empty()) {
      const auto [at, rule] = waiting_.front();
      waiting_.pop_front();
      QUERN_ASSIGN_OR_RETURN(const ExprId body, compile(at));
      QUERN_RETURN_IF_ERROR(grammar_.status());
      grammar_.define(rule, body);
    }
    return grammar_.status();
  }

 private:
  struct Member {
    std::string name;
    SchemaRef schema;
    bool required = false;
  };

  RuleId rule_for(const SchemaRef& at) {
    const auto it = rules_.find(at.schema);
    if (it != rules_.end()) return it->second;
    const RuleId rule = grammar_.add_rule(at.path);
    rules_.emplace(at.schema, rule);
    waiting_.emplace_back(at, rule);
    return rule;
  }
  ExprId call(const SchemaRef& at) { return grammar_.call(rule_for(at)); }

  SchemaRef below(const SchemaRef& at, std::string_view keyword, const Json& schema,
                  std::string_view key = {}) const {
    std::string path = pointer_below(at.path, keyword);
    if (!key.empty()) path = pointer_below(path, key);
    return {&schema, std::move(path)};
  }

  Result<ExprId> compile(const SchemaRef& written) {
    if (written.schema->is_object()) {
      QUERN_RETURN_IF_ERROR(check_keywords(written));
      // A bare reference is the rule it points to.
      if (const Json* reference = find_in(*written.schema, "$ref")) {
        bool alone = true;
        for (const auto& [name, value] : written.schema->items()) {
          alone = alone && (name == "$ref" || find_keyword(name)->use != KeywordUse::kApplied);
        }
        if (alone) {
          QUERN_ASSIGN_OR_RETURN(const SchemaRef target, merger_.resolve(written, *reference));
          return call(target);
        }
      }
    }
    QUERN_ASSIGN_OR_RETURN(const SchemaRef at, merger_.flatten(written));
    if (at.schema->is_boolean()) {
      return at.schema->get<bool>() ? json_.any_value() : grammar_.never();
    }
    if (!at.schema->is_object()) {
      return Error(ErrorKind::kInvalidInput,
                   "JSON schema at " + at.path + ": must be an object, true or false");
    }
    if (find_in(*at.schema, "anyOf") != nullptr) return alternatives(at, "anyOf");
    if (find_in(*at.schema, "oneOf") != nullptr) return alternatives(at, "oneOf");
    if (find_in(*at.schema, "const") != nullptr || find_in(*at.schema, "enum") != nullptr) {
      return listed(at);
    }
    return typed(at);
  }

  // Each alternative is joined with what stands beside the list.
  Result<ExprId> alternatives(const SchemaRef& at, const char* keyword) {
    const Json& list = (*at.schema)[keyword];
    if (!list.is_array() || list.empty()) {
      return schema_error(ErrorKind::kInvalidInput, at, keyword,
                          "must be a list of at least one schema");
    }
    Json beside = Json::object();
    for (const auto& [name, value] : at.schema->items()) {
      if (name != keyword && find_keyword(name)->use == KeywordUse::kApplied) beside[name] = value;
    }
    if (std::string_view(keyword) == "oneOf") QUERN_RETURN_IF_ERROR(check_disjoint(at, list));
    std::vector<ExprId> ways;
    for (size_t i = 0; i < list.size(); ++i) {
      const SchemaRef branch = below(at, keyword, list[i], std::to_string(i));
      if (beside.empty()) {
        ways.push_back(call(branch));
      } else {
        ways.push_back(call(merger_.all_of({&beside, &list[i]}, branch.path)));
      }
    }
    return grammar_.choice(ways);
  }

  // oneOf means "exactly one": the same as anyOf only if no instance fits two.
  Status check_disjoint(const SchemaRef& at, const Json& list) {
    constexpr size_t kMaxOneOf = 128;
    if (list.size() > kMaxOneOf) {
      return schema_error(ErrorKind::kUnsupported, at, "oneOf",
                          "has more than 128 alternatives; use anyOf");
    }
    std::vector<SchemaRef> flat;
    for (size_t i = 0; i < list.size(); ++i) {
      QUERN_ASSIGN_OR_RETURN(SchemaRef one,
                             merger_.flatten(below(at, "oneOf", list[i], std::to_string(i))));
      if (one.schema->is_object()) QUERN_RETURN_IF_ERROR(check_keywords(one));
      flat.push_back(std::move(one));
    }
    for (size_t i = 0; i < flat.size(); ++i) {
      for (size_t j = i + 1; j < flat.size(); ++j) {
        QUERN_RETURN_IF_ERROR(grammar_.budget().spend(8));
        if (disjoint(flat[i], flat[j])) continue;
        return schema_error(ErrorKind::kUnsupported, at, "oneOf",
                            "an instance might satisfy alternatives " + std::to_string(i) +
                                " and " + std::to_string(j) +
                                " at once; use anyOf, or give each a required property with its "
                                "own const");
      }
    }
    return ok_status();
  }

  // The instances a schema lists, if it does.
  static std::optional<Json> values_of(const Json& schema) {
    if (!schema.is_object()) return std::nullopt;
    if (const Json* value = find_in(schema, "const")) return Json::array({*value});
    const Json* list = find_in(schema, "enum");
    if (list != nullptr && list->is_array()) return *list;
    return std::nullopt;
  }

  static TypeSet types_of(const Json& schema) {
    if (!schema.is_object()) return kAnyType;
    TypeSet out = kAnyType;
    if (const Json* type = find_in(schema, "type")) {
      out = 0;
      for (const Json& name : type->is_array() ? *type : Json::array({*type})) {
        if (name.is_string()) out |= type_bit(name.get_ref<const std::string&>());
      }
    }
    if (const std::optional<Json> values = values_of(schema)) {
      TypeSet listed_types = 0;
      for (const Json& value : *values) listed_types |= type_of(value);
      out = widened(out) & listed_types;
    }
    return out;
  }

  static bool lists_differ(const Json& a, const Json& b) {
    const std::optional<Json> left = values_of(a);
    const std::optional<Json> right = values_of(b);
    if (!left || !right) return false;
    return std::none_of(left->begin(), left->end(), [&](const Json& value) {
      return std::find(right->begin(), right->end(), value) != right->end();
    });
  }

  static bool requires_member(const Json& schema, const std::string& name) {
    const Json* required = find_in(schema, "required");
    return required != nullptr &&
           std::find(required->begin(), required->end(), Json(name)) != required->end();
  }

  static bool disjoint(const SchemaRef& first, const SchemaRef& second) {
    const Json& a = *first.schema;
    const Json& b = *second.schema;
    if (!a.is_object() || !b.is_object()) return false;
    const TypeSet left = types_of(a);
    const TypeSet right = types_of(b);
    if ((widened(left) & widened(right)) == 0 || lists_differ(a, b)) return true;
    const bool objects = left == type_bit("object") && right == type_bit("object");
    const Json* properties = find_in(a, "properties");
    const Json* others = find_in(b, "properties");
    if (!objects || properties == nullptr || others == nullptr) return false;
    for (const auto& [name, schema] : properties->items()) {
      const Json* other = find_in(*others, name);
      const bool both = requires_member(a, name) && requires_member(b, name);
      if (other != nullptr && both && lists_differ(schema, *other)) return true;
    }
    return false;
  }

  Result<ExprId> listed(const SchemaRef& at) {
    std::optional<Json> values = values_of(*at.schema);
    if (!values) return schema_error(ErrorKind::kInvalidInput, at, "enum", "must be a list");
    const Json* both = find_in(*at.schema, "enum");
    if (find_in(*at.schema, "const") != nullptr && both != nullptr &&
        std::find(both->begin(), both->end(), values->front()) == both->end()) {
      values = Json::array();
    }
    TypeSet allowed = kAnyType;
    for (const auto& [name, value] : at.schema->items()) {
      if (name == "enum" || name == "const") continue;
      if (name == "type") {
        QUERN_ASSIGN_OR_RETURN(allowed, read_types(at));
        continue;
      }
      const Keyword* keyword = find_keyword(name);
      // What speaks of another type than the listed values have says nothing here.
      const bool idle = std::none_of(values->begin(), values->end(), [&](const Json& item) {
        return (widened(type_bit(keyword->type)) & type_of(item)) != 0;
      });
      if (keyword->use == KeywordUse::kApplied && !idle) {
        return schema_error(ErrorKind::kUnsupported, at, name,
                            "beside enum or const is not supported; list only the values that "
                            "satisfy it");
      }
    }
    std::vector<ExprId> ways;
    std::set<std::string> written;
    for (const Json& value : *values) {
      if ((widened(allowed) & type_of(value)) == 0) continue;
      std::string text = dump_json(value);
      if (written.insert(text).second) ways.push_back(grammar_.literal(text));
    }
    if (ways.empty()) {
      return schema_error(ErrorKind::kInvalidInput, at, both != nullptr ? "enum" : "const",
                          "has no value that satisfies the schema");
    }
    return grammar_.choice(ways);
  }

  Result<TypeSet> read_types(const SchemaRef& at) {
    const Json& type = (*at.schema)["type"];
    TypeSet out = 0;
    for (const Json& name : type.is_array() ? type : Json::array({type})) {
      const TypeSet bit = name.is_string() ? type_bit(name.get_ref<const std::string&>()) : 0;
      if (bit == 0) {
        return schema_error(ErrorKind::kInvalidInput, at, "type",
                            "must be one or a list of: object, array, string, number, integer, "
                            "boolean, null");
      }
      out |= bit;
    }
    if (out == 0) {
      return schema_error(ErrorKind::kInvalidInput, at, "type", "leaves no type that is allowed");
    }
    return out;
  }

  Result<ExprId> typed(const SchemaRef& at) {
    TypeSet types = 0;
    if (find_in(*at.schema, "type") != nullptr) {
      QUERN_ASSIGN_OR_RETURN(types, read_types(at));
    } else {
      // Without a type, keywords of a type mean that type: narrower than the standard, which would
      // let everything else pass.
      for (const auto& [name, value] : at.schema->items()) {
        types |= type_bit(find_keyword(name)->type);
      }
      if (types == 0) return json_.any_value();
    }
    std::vector<ExprId> ways;
    for (const std::string_view type : kTypes) {
      if ((types & type_bit(type)) == 0) continue;
      if (type == "integer" && (types & type_bit(kNumber)) != 0) continue;
      QUERN_ASSIGN_OR_RETURN(const ExprId way, one_type(at, type));
      ways.push_back(way);
    }
    return grammar_.choice(ways);
  }

  Result<ExprId> one_type(const SchemaRef& at, std::string_view type) {
    if (type == "object") return object_type(at);
    if (type == "array") return array_type(at);
    if (type == "string") return string_type(at, json_);
    if (type == "boolean") return json_.boolean();
    if (type == "null") return json_.null();
    return number_type(at, type == "integer", json_);
  }

  Result<std::vector<Member>> read_members(const SchemaRef& at, const SchemaRef& additional) {
    std::vector<Member> members;
    std::map<std::string, size_t> index;
    if (const Json* properties = find_in(*at.schema, "properties")) {
      if (!properties->is_object()) {
        return schema_error(ErrorKind::kInvalidInput, at, "properties", "must be an object");
      }
      for (const auto& [name, schema] : properties->items()) {
        index.emplace(name, members.size());
        members.push_back(
            {name, {&schema, pointer_below(pointer_below(at.path, "properties"), name)}});
      }
    }
    const Json* required = find_in(*at.schema, "required");
    if (required == nullptr) return members;
    if (!required->is_array()) {
      return schema_error(ErrorKind::kInvalidInput, at, "required", "must be a list of names");
    }
    for (const Json& name : *required) {
      if (!name.is_string()) {
        return schema_error(ErrorKind::kInvalidInput, at, "required", "must be a list of names");
      }
      const std::string& text = name.get_ref<const std::string&>();
      const auto [it, added] = index.emplace(text, members.size());
      // Required, but described only as an additional property.
      if (added) members.push_back({text, additional});
      members[it->second].required = true;
    }
    return members;
  }

  Status check_member_counts(const SchemaRef& at, const std::vector<Member>& members, bool open) {
    QUERN_ASSIGN_OR_RETURN(const uint32_t min, read_count(at, "minProperties", 0));
    QUERN_ASSIGN_OR_RETURN(const uint32_t max, read_count(at, "maxProperties", kUnbounded));
    const auto required = static_cast<size_t>(
        std::count_if(members.begin(), members.end(), [](const Member& m) { return m.required; }));
    if (min > required) {
      return schema_error(ErrorKind::kUnsupported, at, "minProperties",
                          "is supported up to the number of required properties; require more of "
                          "them by name");
    }
    if (max != kUnbounded && (open || members.size() > max)) {
      return schema_error(ErrorKind::kUnsupported, at, "maxProperties",
                          "is supported only where the named properties are no more and "
                          "additionalProperties is false");
    }
    return ok_status();
  }

  Result<ExprId> object_type(const SchemaRef& at) {
    static const Json kTrue = true;
    const Json* additional = find_in(*at.schema, "additionalProperties");
    const SchemaRef extra_schema{additional == nullptr ? &kTrue : additional,
                                 pointer_below(at.path, "additionalProperties")};
    QUERN_ASSIGN_OR_RETURN(const std::vector<Member> members, read_members(at, extra_schema));
    // A schema that names properties and is silent about others gets no others.
    const bool silent = additional == nullptr && find_in(*at.schema, "properties") != nullptr;
    const bool closed =
        silent || (additional != nullptr && additional->is_boolean() && *additional == false);
    QUERN_RETURN_IF_ERROR(check_member_counts(at, members, !closed));
    ExprId extra = grammar_.never();
    if (!closed) {
      std::vector<std::string> names;
      for (const Member& member : members) names.push_back(member.name);
      extra = grammar_.sequence(
          {json_.other_key(names), grammar_.literal(":"), json_.space(), call(extra_schema)});
    }
    return members_in_order(members, extra);
  }

  // What may follow after the members before the i-th: another member (next[i]), or after one has
  // been written a comma and that, or the end (more[i]). Members that are optional are passed over.
  ExprId members_in_order(const std::vector<Member>& members, ExprId extra) {
    const size_t n = members.size();
    const ExprId comma = grammar_.sequence({grammar_.literal(","), json_.space()});
    const ExprId end = grammar_.sequence({json_.space(), grammar_.literal("}")});
    std::vector<RuleId> next(n + 1);
    std::vector<RuleId> more(n + 1);
    for (size_t i = 0; i <= n && grammar_.status().ok(); ++i) {
      next[i] = grammar_.add_rule("members");
      more[i] = grammar_.add_rule("members");
    }
    bool may_end = true;
    for (size_t i = n + 1; i > 0 && grammar_.status().ok(); --i) {
      const size_t at = i - 1;
      if (at == n) {
        grammar_.define(next[n], grammar_.sequence({extra, grammar_.call(more[n])}));
      } else {
        const Member& member = members[at];
        const ExprId key = grammar_.literal(dump_json(Json(member.name)) + ":");
        const ExprId written =
            grammar_.sequence({key, json_.space(), call(member.schema), grammar_.call(more[i])});
        may_end = may_end && !member.required;
        grammar_.define(next[at], member.required
                                      ? written
                                      : grammar_.choice({written, grammar_.call(next[i])}));
      }
      const ExprId on = grammar_.sequence({comma, grammar_.call(next[at])});
      grammar_.define(more[at], may_end ? grammar_.choice({on, end}) : on);
    }
    if (!grammar_.status().ok()) return 0;
    const ExprId first = grammar_.call(next[0]);
    const ExprId inside = may_end ? grammar_.choice({first, grammar_.literal("}")}) : first;
    return grammar_.sequence({grammar_.literal("{"), json_.space(), inside});
  }

  struct ArrayParts {
    std::vector<SchemaRef> front;
    std::optional<SchemaRef> rest;  // nothing: no further items
  };

  Result<ArrayParts> read_items(const SchemaRef& at) {
    static const Json kTrue = true;
    ArrayParts out;
    const Json* front = find_in(*at.schema, "prefixItems");
    const Json* items = find_in(*at.schema, "items");
    const char* front_keyword = "prefixItems";
    const char* rest_keyword = "items";
    // The older form: a list in "items", the rest in "additionalItems".
    if (items != nullptr && items->is_array()) {
      if (front != nullptr) {
        return schema_error(ErrorKind::kInvalidInput, at, "items",
                            "must be a schema beside prefixItems");
      }
      front = items;
      front_keyword = "items";
      items = find_in(*at.schema, "additionalItems");
      rest_keyword = "additionalItems";
    }
    if (front != nullptr) {
      if (!front->is_array()) {
        return schema_error(ErrorKind::kInvalidInput, at, front_keyword, "must be a list");
      }
      for (size_t i = 0; i < front->size(); ++i) {
        out.front.push_back(below(at, front_keyword, (*front)[i], std::to_string(i)));
      }
    }
    if (items == nullptr) items = &kTrue;
    if (*items != false) out.rest = below(at, rest_keyword, *items);
    return out;
  }

  Result<ExprId> array_type(const SchemaRef& at) {
    QUERN_ASSIGN_OR_RETURN(const uint32_t min, read_count(at, "minItems", 0));
    QUERN_ASSIGN_OR_RETURN(uint32_t max, read_count(at, "maxItems", kUnbounded));
    const Json* unique = find_in(*at.schema, "uniqueItems");
    if (unique != nullptr && *unique != false && !(max <= 1)) {
      return schema_error(ErrorKind::kUnsupported, at, "uniqueItems",
                          "is not supported; remove it and check the answer");
    }
    QUERN_ASSIGN_OR_RETURN(const ArrayParts parts, read_items(at));
    const auto n_front = static_cast<uint32_t>(parts.front.size());
    if (!parts.rest) max = std::min(max, n_front);
    if (min > max) {
      return schema_error(ErrorKind::kInvalidInput, at, "minItems",
                          "is above what maxItems or the list of items allows");
    }
    return items_in_order(parts, min, max);
  }

  // From the back: what follows after i items, each with its comma.
  ExprId items_in_order(const ArrayParts& parts, uint32_t min, uint32_t max) {
    const auto n_front = static_cast<uint32_t>(parts.front.size());
    const ExprId open = grammar_.sequence({grammar_.literal("["), json_.space()});
    const ExprId close = grammar_.literal("]");
    if (max == 0) return grammar_.sequence({open, close});
    const ExprId comma = grammar_.sequence({grammar_.literal(","), json_.space()});
    ExprId tail = grammar_.empty();
    if (parts.rest && max > n_front) {
      const uint32_t done = std::max(n_front, 1U);
      const ExprId more = grammar_.sequence({comma, call(*parts.rest)});
      tail = grammar_.repeat(more, min > done ? min - done : 0,
                             max == kUnbounded ? kUnbounded : max - done);
    }
    for (uint32_t i = std::min(n_front, max); i > 1; --i) {
      tail = grammar_.sequence({comma, call(parts.front[i - 1]), tail});
      if (min < i) tail = grammar_.optional(tail);
    }
    const ExprId first = call(n_front > 0 ? parts.front.front() : *parts.rest);
    const ExprId items = grammar_.sequence({first, tail, json_.space()});
    return grammar_.sequence({open, min == 0 ? grammar_.optional(items) : items, close});
  }

  Grammar& grammar_;
  JsonText json_;
  SchemaMerger merger_;
  SchemaRef root_;
  std::map<const Json*, RuleId> rules_;
  std::deque<std::pair<SchemaRef, RuleId>> waiting_;
};

}  // namespace

Status parse_json_schema(const Json& schema, Grammar& into) {
  return SchemaCompiler(schema, into).run();
}

Status any_json_object(Grammar& into) {
  JsonText json(into);
  const RuleId root = into.add_rule("root");
  into.set_root(root);
  into.define(root, json.any_object());
  return into.status();
}

}  // namespace quern::grammar
