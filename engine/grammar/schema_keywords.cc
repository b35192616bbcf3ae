// The table and what every reader of a schema needs.
#include "engine/grammar/schema_keywords.h"

#include <algorithm>
#include <cmath>

namespace quern::grammar {
namespace {

using enum KeywordUse;

constexpr Keyword kKeywords[] = {
    {"$schema", kAnnotation},
    {"$id", kAnnotation},
    {"$comment", kAnnotation},
    {"$defs", kAnnotation},
    {"definitions", kAnnotation},
    {"title", kAnnotation},
    {"description", kAnnotation},
    {"default", kAnnotation},
    {"example", kAnnotation},
    {"examples", kAnnotation},
    {"deprecated", kAnnotation},
    {"readOnly", kAnnotation},
    {"writeOnly", kAnnotation},
    {"discriminator", kAnnotation},  // OpenAPI: a hint beside oneOf
    {"contentEncoding", kAnnotation},
    {"contentMediaType", kAnnotation},
    {"contentSchema", kAnnotation},

    {"$ref", kApplied},
    {"allOf", kApplied},
    {"anyOf", kApplied},
    {"oneOf", kApplied},
    {"enum", kApplied},
    {"const", kApplied},
    {"type", kApplied},
    {"properties", kApplied, "object"},
    {"required", kApplied, "object"},
    {"additionalProperties", kApplied, "object"},
    {"minProperties", kApplied, "object"},
    {"maxProperties", kApplied, "object"},
    {"items", kApplied, "array"},
    {"prefixItems", kApplied, "array"},
    {"additionalItems", kApplied, "array"},
    {"minItems", kApplied, "array"},
    {"maxItems", kApplied, "array"},
    {"uniqueItems", kApplied, "array"},
    {"minLength", kApplied, "string"},
    {"maxLength", kApplied, "string"},
    {"pattern", kApplied, "string"},
    {"format", kApplied, "string"},
    {"minimum", kApplied, "number"},
    {"maximum", kApplied, "number"},
    {"exclusiveMinimum", kApplied, "number"},
    {"exclusiveMaximum", kApplied, "number"},
    {"multipleOf", kApplied, "number"},

    {"not", kRefused, "", "name what is allowed instead"},
    {"if", kRefused, "", "use anyOf"},
    {"then", kRefused, "", "use anyOf"},
    {"else", kRefused, "", "use anyOf"},
    {"dependentRequired", kRefused, "", "use anyOf"},
    {"dependentSchemas", kRefused, "", "use anyOf"},
    {"dependencies", kRefused, "", "use anyOf"},
    {"patternProperties", kRefused, "", "name the properties, or use additionalProperties"},
    {"propertyNames", kRefused, "", "name the properties"},
    {"unevaluatedProperties", kRefused, "", "use additionalProperties"},
    {"unevaluatedItems", kRefused, "", "use items"},
    {"contains", kRefused, "", "use prefixItems"},
    {"minContains", kRefused, "", "use prefixItems"},
    {"maxContains", kRefused, "", "use prefixItems"},
    {"nullable", kRefused, "", "use \"type\": [..., \"null\"]"},
    {"$anchor", kRefused, "", "refer to it by its JSON pointer"},
    {"$dynamicRef", kRefused, "", "use $ref"},
    {"$dynamicAnchor", kRefused, "", "use $ref"},
    {"$recursiveRef", kRefused, "", "use $ref"},
    {"$recursiveAnchor", kRefused, "", "use $ref"},
    {"$vocabulary", kRefused, "", "leave it out"},
};

}  // namespace

const Keyword* find_keyword(std::string_view name) {
  static constexpr Keyword kExtension = {"x-", kAnnotation};
  const auto* const it = std::find_if(std::begin(kKeywords), std::end(kKeywords),
                                      [&](const Keyword& k) { return k.name == name; });
  if (it != std::end(kKeywords)) return it;
  return name.starts_with("x-") ? &kExtension : nullptr;
}

Error schema_error(ErrorKind kind, const SchemaRef& at, std::string_view keyword,
                   std::string_view problem) {
  return Error(kind, "JSON schema, '" + std::string(keyword.substr(0, 100)) + "' at " +
                         at.path.substr(0, 300) + ": " + std::string(problem));
}

Status check_keywords(const SchemaRef& at) {
  for (const auto& [name, value] : at.schema->items()) {
    const Keyword* keyword = find_keyword(name);
    if (keyword == nullptr) {
      return schema_error(ErrorKind::kUnsupported, at, name,
                          "unknown keyword; remove it or correct its name");
    }
    if (keyword->use == kRefused) {
      return schema_error(ErrorKind::kUnsupported, at, name,
                          "this keyword is not supported; " + std::string(keyword->advice));
    }
    if (name == "$id" && at.path != "#") {
      return schema_error(ErrorKind::kUnsupported, at, name,
                          "an identifier below the root changes what references mean and is not "
                          "supported; remove it");
    }
  }
  return ok_status();
}

const Json* find_in(const Json& schema, std::string_view keyword) {
  const auto it = schema.find(keyword);
  return it == schema.end() ? nullptr : &*it;
}

std::string pointer_below(const std::string& path, std::string_view key) {
  std::string out = path + "/";
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

Result<uint32_t> read_count(const SchemaRef& at, std::string_view keyword, uint32_t otherwise) {
  const Json* value = find_in(*at.schema, keyword);
  if (value == nullptr) return otherwise;
  constexpr double kMax = 2e9;
  const double number = value->is_number() ? value->get<double>() : -1;
  if (!(number >= 0) || number != std::floor(number)) {
    return schema_error(ErrorKind::kInvalidInput, at, keyword, "must be a whole number from 0");
  }
  if (number > kMax) {
    return schema_error(ErrorKind::kInvalidInput, at, keyword,
                        "must be at most 2000000000; lower it");
  }
  return static_cast<uint32_t>(number);
}

}  // namespace quern::grammar
