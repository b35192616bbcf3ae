#include "tests/support/tiny_adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <utility>

#include "models/gguf/writer.h"

namespace quern::tests_support {
namespace {

bool is_adaptable(std::string_view name) {
  if (name == "output.weight") return true;
  constexpr std::array<std::string_view, 8> kParts = {".attn_q.",   ".attn_k.",      ".attn_v.",
                                                      ".attn_qkv.", ".attn_output.", ".ffn_up.",
                                                      ".ffn_gate.", ".ffn_down."};
  return name.ends_with(".weight") &&
         std::any_of(kParts.begin(), kParts.end(), [&](std::string_view part) {
           return name.find(part) != std::string_view::npos;
         });
}

std::vector<TensorPlan> plan_tensors(const gguf::GgufFile& model,
                                     const TinyAdapterOptions& options) {
  std::vector<TensorPlan> plans;
  for (const gguf::TensorInfo& tensor : model.tensors()) {
    if (!is_adaptable(tensor.name)) continue;
    if (options.wanted && !options.wanted(tensor.name)) continue;
    plans.push_back({tensor.name + ".lora_a", options.format, {tensor.dims[0], options.rank}});
    plans.push_back({tensor.name + ".lora_b", options.format, {options.rank, tensor.dims[1]}});
  }
  return plans;
}

}  // namespace

Result<std::vector<std::byte>> tiny_adapter_bytes(const gguf::GgufFile& model,
                                                  const TinyAdapterOptions& options) {
  gguf::GgufWriter writer;
  QUERN_ASSIGN_OR_RETURN(const auto architecture,
                         model.metadata().get_string("general.architecture"));
  writer.metadata().set("general.type", std::string("adapter"));
  writer.metadata().set("general.architecture", std::string(architecture));
  writer.metadata().set("general.name", std::string("tiny adapter"));
  writer.metadata().set("adapter.type", std::string("lora"));
  writer.metadata().set("adapter.lora.alpha", options.alpha);
  if (options.edit_metadata) options.edit_metadata(writer.metadata());
  std::vector<TensorPlan> plans = plan_tensors(model, options);
  if (options.edit_tensors) options.edit_tensors(plans);
  for (const TensorPlan& plan : plans) {
    QUERN_RETURN_IF_ERROR(writer.add_tensor(plan.name, plan.format, plan.dims));
  }
  std::vector<std::byte> out;
  QUERN_ASSIGN_OR_RETURN(auto output, writer.create_in(out));
  std::mt19937_64 random(options.seed);
  for (const TensorPlan& plan : plans) {
    const formats::FormatInfo& format = formats::format_info(plan.format);
    uint64_t n_rows = 1;
    for (size_t i = 1; i < plan.dims.size(); ++i) n_rows *= plan.dims[i];
    const auto row_bytes = *formats::row_bytes(format, plan.dims[0]);
    std::vector<std::byte> bytes(row_bytes * n_rows);
    std::vector<float> row(plan.dims[0]);
    const float gain = std::sqrt(1.0F / static_cast<float>(plan.dims[0]));
    for (uint64_t r = 0; r < n_rows && format.encode_row != nullptr; ++r) {
      for (float& value : row) {
        value = gain * (static_cast<float>(random() >> 40) / float{1 << 23} - 1.0F);
      }
      format.encode_row(row.data(), bytes.data() + r * row_bytes, static_cast<int64_t>(row.size()));
    }
    QUERN_RETURN_IF_ERROR(output->write_tensor(bytes));
  }
  QUERN_RETURN_IF_ERROR(output->finish());
  return out;
}

Result<std::shared_ptr<const loader::Adapter>> tiny_adapter(const loader::Model& model,
                                                            const TinyAdapterOptions& options,
                                                            backend::Backend& backend) {
  QUERN_ASSIGN_OR_RETURN(auto bytes, tiny_adapter_bytes(model.file(), options));
  QUERN_ASSIGN_OR_RETURN(auto file, open_owned(std::move(bytes), "tiny-adapter.gguf"));
  return loader::Adapter::load(std::move(file), model, backend);
}

}  // namespace quern::tests_support
