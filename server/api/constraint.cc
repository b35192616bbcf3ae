// Which field means what; the meaning itself is in engine/grammar.
#include "server/api/constraint.h"

#include <array>
#include <string>
#include <string_view>

#include "server/api/fields.h"

namespace quern::api {
namespace {

MaybeError take(Result<ConstraintPointer> made, std::string_view field, ConstraintPointer& out) {
  if (!made.ok()) {
    ApiError error = from_error(made.error());
    error.param = std::string(field);
    return error;
  }
  out = std::move(made).value();
  return std::nullopt;
}

bool is_schema(const Json& value) { return value.is_object() || value.is_boolean(); }

MaybeError no_schema(const std::string& field) {
  return field_error(field, "'" + field + "' must be a JSON schema: an object, true or false.");
}

MaybeError read_response_format(const Json& format, const ServedModel& model,
                                const ClientGone& gone, ConstraintPointer& out) {
  const std::string field = "response_format";
  if (!format.is_object()) return field_error(field, "'response_format' must be an object.");
  const Json* type = find_field(format, "type");
  if (type == nullptr || !type->is_string()) {
    return field_error(field + ".type", "'response_format.type' must be a string.");
  }
  const auto& name = type->get_ref<const std::string&>();
  if (name == "text") return std::nullopt;
  if (name != "json_object" && name != "json_schema") {
    return field_error(field + ".type",
                       "'response_format.type' must be \"text\", \"json_object\" or "
                       "\"json_schema\".");
  }
  const Json* schema = find_field(format, "schema");
  std::string where = field + ".schema";
  if (const Json* wrapped = find_field(format, "json_schema"); wrapped != nullptr) {
    if (!wrapped->is_object()) {
      return field_error(field + ".json_schema",
                         "'response_format.json_schema' must be an object.");
    }
    schema = find_field(*wrapped, "schema");
    where = field + ".json_schema.schema";
  } else if (name == "json_schema" && schema == nullptr) {
    return field_error(field + ".json_schema",
                       "'response_format.json_schema' is missing; it holds the schema as "
                       "{\"name\": ..., \"schema\": {...}}.");
  }
  if (schema == nullptr) {
    if (name == "json_object") return take(model.grammars->any_object(gone), field, out);
    return field_error(where, "'" + where + "' is missing.");
  }
  if (!is_schema(*schema)) return no_schema(where);
  return take(model.grammars->from_schema(*schema, gone), where, out);
}

MaybeError check_only_one(const Json& body) {
  const Json* format = find_field(body, "response_format");
  const bool text =
      format != nullptr && format->is_object() && read_string(*format, "type", "text") == "text";
  std::string_view first = format != nullptr && !text ? "response_format" : "";
  for (const std::string_view name : {"grammar", "json_schema"}) {
    const Json* value = find_field(body, name);
    if (value == nullptr || (value->is_string() && value->empty())) continue;
    if (!first.empty()) {
      return field_error(name, "'" + std::string(name) + "' and '" + std::string(first) +
                                   "' cannot be combined; send one of them.");
    }
    first = name;
  }
  return std::nullopt;
}

MaybeError check_store(const ServedModel& model, std::string_view field) {
  if (model.grammars != nullptr) return std::nullopt;
  return field_error(field,
                     "This model cannot be constrained; leave '" + std::string(field) + "' out.");
}

}  // namespace

MaybeError read_openai_constraint(const Json& body, const ServedModel& model,
                                  const ClientGone& gone, ConstraintPointer& out) {
  const Json* format = find_field(body, "response_format");
  if (format != nullptr && format->is_object() && find_field(*format, "type") != nullptr &&
      !(*format)["type"].is_string()) {
    return field_error("response_format.type", "'response_format.type' must be a string.");
  }
  if (MaybeError error = check_only_one(body)) return error;
  const Json* grammar = find_field(body, "grammar");
  const Json* schema = find_field(body, "json_schema");
  for (const std::string_view name : {"response_format", "grammar", "json_schema"}) {
    if (find_field(body, name) == nullptr) continue;
    if (MaybeError error = check_store(model, name)) return error;
  }
  if (grammar != nullptr && !grammar->empty()) {
    const auto& text = grammar->get_ref<const std::string&>();
    if (!text.empty()) return take(model.grammars->from_gbnf(text, gone), "grammar", out);
  }
  if (schema != nullptr) {
    if (!is_schema(*schema)) return no_schema("json_schema");
    return take(model.grammars->from_schema(*schema, gone), "json_schema", out);
  }
  if (format == nullptr) return std::nullopt;
  return read_response_format(*format, model, gone, out);
}

MaybeError read_ollama_constraint(const Json& body, const ServedModel& model,
                                  const ClientGone& gone, ConstraintPointer& out) {
  const Json* format = find_field(body, "format");
  if (format == nullptr || (format->is_string() && format->get_ref<const std::string&>().empty()))
    return std::nullopt;
  if (MaybeError error = check_store(model, "format")) return error;
  if (format->is_string() && *format == "json") {
    return take(model.grammars->any_object(gone), "format", out);
  }
  if (!format->is_object()) {
    return field_error("format", "'format' must be \"json\" or a JSON schema object.");
  }
  return take(model.grammars->from_schema(*format, gone), "format", out);
}

}  // namespace quern::api
