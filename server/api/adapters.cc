#include "server/api/adapters.h"

#include <algorithm>
#include <array>
#include <string>

#include "engine/run/admission.h"
#include "server/api/fields.h"

namespace quern::api {
namespace {

constexpr double kMaxScale = engine::kMaxAdapterScale;

constexpr std::array kFields = {
    read_field("id", FieldType::kInteger),
    ranged("scale", FieldType::kNumber, -kMaxScale, kMaxScale),
};

MaybeError read_adapter(const Json& item, size_t at, const ListedModel& model,
                        std::vector<engine::AdapterUse>& out) {
  const std::string name = "lora[" + std::to_string(at) + "]";
  std::vector<std::string> unknown;
  if (!item.is_object()) {
    return field_error(name, "'" + name + "' must be an object with 'id' and 'scale'.");
  }
  if (MaybeError error = check_fields(item, {kFields}, name + ".", unknown)) return error;
  const bool whole = find_field(item, "id") != nullptr && find_field(item, "scale") != nullptr;
  if (!whole || !unknown.empty()) {
    return field_error(name, "'" + name + "' must have 'id' and 'scale' and nothing else.");
  }
  const int64_t id = read_integer(item, "id", -1);
  const auto n = static_cast<int64_t>(model.adapters.size());
  if (id < 0 || id >= n) {
    return field_error(name + ".id", "'" + name + ".id' is " + std::to_string(id) +
                                         "; the model '" + model.id + "' is served with " +
                                         std::to_string(n) + " adapters, counted from 0.");
  }
  const bool twice = std::any_of(out.begin(), out.end(),
                                 [&](const engine::AdapterUse& use) { return use.adapter == id; });
  if (twice) {
    return field_error(name + ".id",
                       "'lora' names adapter " + std::to_string(id) + " twice; name it once.");
  }
  out.push_back({static_cast<int32_t>(id), static_cast<float>(read_number(item, "scale", 0))});
  return std::nullopt;
}

}  // namespace

MaybeError read_adapters(const Json& body, const ListedModel& model,
                         std::vector<engine::AdapterUse>& out) {
  const Json* list = find_field(body, "lora");
  if (list == nullptr || list->empty()) return std::nullopt;
  if (list->size() > std::max<size_t>(model.adapters.size(), 1)) {
    return field_error("lora", "'lora' has " + std::to_string(list->size()) +
                                   " entries; the model '" + model.id + "' is served with " +
                                   std::to_string(model.adapters.size()) + " adapters.");
  }
  out.clear();
  for (size_t i = 0; i < list->size(); ++i) {
    if (MaybeError error = read_adapter((*list)[i], i, model, out)) return error;
  }
  std::sort(out.begin(), out.end());
  return std::nullopt;
}

}  // namespace quern::api
