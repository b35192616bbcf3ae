// Adapters that a request chooses itself, as llama.cpp's server has it: "lora": [{"id": 0, "scale":
// 0.5}, ...]. Ids count the adapters of the model from 0.
#pragma once

#include <vector>

#include "engine/types/request.h"
#include "server/api/api_error.h"
#include "server/api/served_model.h"

namespace quern::api {

// Reads "lora" of a body that check_fields() has seen. A list that is there and not empty takes the
// place of `out`, so that adapters which it leaves out are not used. Errors: an id that the model
// does not have or that comes twice, a scale that is no number from -1000 to 1000.
MaybeError read_adapters(const Json& body, const ListedModel& model,
                         std::vector<engine::AdapterUse>& out);

}  // namespace quern::api
