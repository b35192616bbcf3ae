// Whether two files hold the same model, be it in different formats.
#pragma once

#include <optional>
#include <string>

#include "models/gguf/reader.h"

namespace quern::fit {

// What tells the files apart, as part of a sentence ("general.name is 'a' in one and 'b' in the
// other"); nothing for files of one model. The same model has the architecture, its
// hyper-parameters, the vocabulary, the names and shapes of the tensors, and the name (where both
// files give one) in common. Formats, dates, templates and what a converter adds may differ.
std::optional<std::string> model_difference(const gguf::GgufFile& one, const gguf::GgufFile& other);

}  // namespace quern::fit
