// What Hugging Face checkpoints of each supported class are called and how they name their tensors,
// as data.
//
// Shapes, presence and names in the written file are those of models/arch; a row here only says
// where the tensor of a role comes from. To add a class: a row in model_class_list.inc, and a table
// of names where the one of another class does not fit.
// Sources: transformers 5.24, models/<model_type>/modeling_*.py and configuration_*.py; what files
// hold was compared with save_pretrained of that version.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "models/arch/arch_spec.h"

namespace quern::huggingface {

// What happens to values between the checkpoint and the written file.
enum class Change : uint8_t {
  kNone,
  // Rows of a head: the checkpoint rotates value i with value i + n / 2, the file 2 i with 2 i + 1.
  kPairUp,
  // Norms that multiply by 1 + weight are written with the 1.
  kPlusOne,
};

struct SourceTensor {
  arch::TensorRole role;
  // {} is the layer, a second {} the expert. A matrix ends in ".weight" and may be quantized.
  std::string_view pattern;
  Change change = Change::kNone;
};

struct ModelClass {
  std::string_view name;        // in "architectures" of config.json
  std::string_view model_type;  // in "model_type", for files without the former
  std::string_view arch;        // general.architecture of the written file
  std::span<const SourceTensor> tensors;
  std::string_view activation;  // the one that the architecture's recipe computes
  // Where config.json is silent, as the class's configuration has it.
  double rope_theta = 10000;
  uint64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  uint64_t window = 0;    // 0: none
  // Whether the class looks at sliding_window.
  bool has_window = false;
};

std::span<const ModelClass> all_classes();
// By name, or by type when the name is empty. Null when there is none.
const ModelClass* find_class(std::string_view name, std::string_view model_type);
// "LlamaForCausalLM, ...": for messages.
std::string class_names();

// Where row `row` of the file is in the checkpoint, for kPairUp.
uint64_t unpaired(uint64_t row, uint64_t head_dim);

// A pattern with its holes filled.
std::string source_name(const SourceTensor& tensor, int64_t layer, int64_t expert);

}  // namespace quern::huggingface
