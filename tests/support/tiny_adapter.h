// Small random low-rank adapters for tiny models, made in memory through the project's own writer.
// Same options, same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/formats/format.h"
#include "models/gguf/metadata.h"
#include "models/gguf/reader.h"
#include "models/loader/adapter.h"
#include "tests/support/tiny_model.h"

namespace quern::tests_support {

struct TinyAdapterOptions {
  uint64_t rank = 3;
  float alpha = 6;
  formats::FormatId format = formats::FormatId::kF32;  // of both halves
  uint64_t seed = 1;
  // Which matrices of the model; all of those that can be adapted when not set.
  std::function<bool(std::string_view)> wanted = {};

  // For malformed adapters: called with everything in place, before writing.
  std::function<void(gguf::Metadata&)> edit_metadata = {};
  std::function<void(std::vector<TensorPlan>&)> edit_tensors = {};
};

// The bytes of an adapter that fits this model, which is of general.architecture as well.
Result<std::vector<std::byte>> tiny_adapter_bytes(const gguf::GgufFile& model,
                                                  const TinyAdapterOptions& options);

// The same loaded for a model.
Result<std::shared_ptr<const loader::Adapter>> tiny_adapter(const loader::Model& model,
                                                            const TinyAdapterOptions& options,
                                                            backend::Backend& backend);

}  // namespace quern::tests_support
