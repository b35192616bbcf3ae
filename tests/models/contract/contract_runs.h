// One prompt through a small model under circumstances that must not matter: threads, rows, cut of
// the prompt, company in the same steps, and where the pages lie.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/digest.h"
#include "kernels/formats/format.h"
#include "kernels/ops/ops.h"
#include "models/gguf/reader.h"

namespace quern::contract_tests {

// A model of fixed random weights and what is asked of it.
struct Case {
  std::string_view name;
  std::string_view architecture;
  formats::FormatId format;  // of the matrices
  ops::KvFormat kv_format;
  int32_t long_prompt;    // tokens
  int64_t n_experts = 0;  // 0: as usual for the architecture
};

struct Circumstances {
  int threads = 1;
  std::string_view isa_cap = {};  // empty: the best rows of the machine
  std::string forced_row = {};    // "op=row"; empty: none
  int32_t chunk = 512;            // tokens of the prompt per step
  bool neighbours = false;        // other sequences run in every step
  bool scattered_pages = false;   // page ids in no order, other sequences' pages between them
};
std::string describe(const Circumstances& circumstances);

// The model's file, made in memory; the same bytes on every machine.
Result<std::shared_ptr<const gguf::GgufFile>> model_file(const Case& c);

// SHA-256 over the bits of the logits of all positions of prompts of these lengths.
Result<std::string> hash_logits(const Case& c, std::shared_ptr<const gguf::GgufFile> file,
                                const Circumstances& circumstances,
                                std::span<const int32_t> prompt_lengths);

}  // namespace quern::contract_tests
