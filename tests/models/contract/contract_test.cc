// The reproducibility contract in one test: the logits of several prompts have one hash per model,
// whatever computes them and however, and it is the one that is written down.
//
// tests/golden/contract/hashes.txt was frozen once; another processor, another compiler or another
// day must find the same. Run it under an emulator to prove rows that no machine at hand can run
// (`./dev arm`).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "config/hardware/profile.h"
#include "kernels/cpu/cpu_rows.h"
#include "tests/models/contract/contract_runs.h"

namespace quern::contract_tests {
namespace {

using formats::FormatId;
using ops::KvFormat;

constexpr int32_t kLong = 520;   // more than one step of 512 tokens
constexpr int32_t kShort = 140;  // more than one step of 128

// Every architecture, every precision of keys and values, floats that round (F16, BF16) and every
// family of blocks.
constexpr Case kCases[] = {
    {"llama_q4_k", "llama", FormatId::kQ4_K, KvFormat::kF16, kLong},
    {"llama_f16", "llama", FormatId::kF16, KvFormat::kF16, kShort},
    {"llama_bf16", "llama", FormatId::kBF16, KvFormat::kF32, kShort},
    {"llama_f32", "llama", FormatId::kF32, KvFormat::kF32, kShort},
    {"qwen2_q4_0", "qwen2", FormatId::kQ4_0, KvFormat::kF16, kShort},
    {"qwen2_q4_1", "qwen2", FormatId::kQ4_1, KvFormat::kQ8_0, kShort},
    {"qwen3_q5_0", "qwen3", FormatId::kQ5_0, KvFormat::kF16, kShort},
    {"qwen3_q5_1", "qwen3", FormatId::kQ5_1, KvFormat::kQ4_0, kShort},
    {"gemma2_q8_0", "gemma2", FormatId::kQ8_0, KvFormat::kQ8_0, kShort},
    {"gemma2_q2_k", "gemma2", FormatId::kQ2_K, KvFormat::kF16, kShort},
    {"phi3_q3_k", "phi3", FormatId::kQ3_K, KvFormat::kQ4_0, kShort},
    {"llama_q5_k", "llama", FormatId::kQ5_K, KvFormat::kF16, kShort},
    {"llama_q6_k", "llama", FormatId::kQ6_K, KvFormat::kQ8_0, kShort},
    {"llama_iq4_nl", "llama", FormatId::kIQ4_NL, KvFormat::kF16, kShort},
    {"llama_iq4_xs", "llama", FormatId::kIQ4_XS, KvFormat::kF16, kShort},
    {"phi3_iq1_m", "phi3", FormatId::kIQ1_M, KvFormat::kF16, kShort},
    {"qwen2_iq2_xs", "qwen2", FormatId::kIQ2_XS, KvFormat::kF16, kShort},
    {"qwen3_iq3_s", "qwen3", FormatId::kIQ3_S, KvFormat::kF16, kShort},
    {"llama_tq1_0", "llama", FormatId::kTQ1_0, KvFormat::kF16, kShort},
    {"mixtral_q4_k", "llama", FormatId::kQ4_K, KvFormat::kF16, kShort, 4},
    {"qwen2moe_q8_0", "qwen2moe", FormatId::kQ8_0, KvFormat::kF16, kShort},
    {"qwen3moe_q6_k", "qwen3moe", FormatId::kQ6_K, KvFormat::kF16, kShort},
    {"llama_mxfp4", "llama", FormatId::kMXFP4, KvFormat::kF16, kShort},
};

// A line of the golden file: SHA-256 of the tensors, to tell other weights from other results, and
// of the logits of the prompts.
struct Golden {
  std::string file;
  std::string short_prompts;
  std::string long_prompt;
};

std::string line_of(const Case& c, const Golden& golden) {
  return std::string(c.name) + ' ' + golden.file + ' ' + golden.short_prompts + ' ' +
         golden.long_prompt;
}

std::map<std::string, Golden, std::less<>> read_goldens() {
  std::map<std::string, Golden, std::less<>> out;
  std::ifstream in(QUERN_SOURCE_DIR "/tests/golden/contract/hashes.txt");
  std::string line;
  while (std::getline(in, line)) {
    if (line.starts_with('#')) continue;
    std::istringstream words(line);
    std::string name;
    Golden golden;
    words >> name >> golden.file >> golden.short_prompts >> golden.long_prompt;
    out[name] = golden;
  }
  return out;
}

std::string file_hash(const gguf::GgufFile& file) {
  Sha256 hash;
  for (const gguf::TensorInfo& tensor : file.tensors()) hash.add(tensor.name).add(tensor.data);
  return to_hex(hash.finish());
}

std::vector<std::string_view> instruction_sets() {
  std::vector<std::string_view> out = {"scalar"};
  const hardware::IsaMask isa = hardware::probe_hardware().cpu.isa;
  for (size_t i = 0; i < static_cast<size_t>(hardware::Isa::kCount); ++i) {
    const auto one = static_cast<hardware::Isa>(i);
    const auto uses = [&](const dispatch::KernelRow& row) { return row.needs.contains(one); };
    if (isa.contains(one) && std::ranges::any_of(cpu::cpu_rows(), uses)) {
      out.push_back(hardware::isa_name(one));
    }
  }
  return out;
}

// Every row that this machine can run for matrices of this format.
std::vector<std::string> matmul_rows(FormatId format) {
  const hardware::IsaMask isa = hardware::probe_hardware().cpu.isa;
  std::vector<std::string> out;
  for (const dispatch::KernelRow& row : cpu::cpu_rows()) {
    if (row.op != ops::OpId::kMatmul || !isa.contains(row.needs)) continue;
    if (!row.format || *row.format == format) out.push_back("matmul=" + std::string(row.name));
  }
  return out;
}

// Each row by name, in the company that matters most to it: few columns of several sequences.
std::vector<Circumstances> every_row(FormatId format) {
  std::vector<Circumstances> out;
  for (const std::string& row : matmul_rows(format)) {
    out.push_back({.threads = 3, .forced_row = row, .chunk = 7, .neighbours = true});
  }
  return out;
}

std::vector<Circumstances> every_instruction_set() {
  std::vector<Circumstances> out;
  for (const std::string_view cap : instruction_sets()) {
    out.push_back({.threads = 2, .isa_cap = cap, .chunk = 128, .scattered_pages = true});
  }
  return out;
}

// Chunks and threads, each of which meets company and none, pages in order and not.
std::vector<Circumstances> every_cut(bool all_pairs) {
  constexpr int32_t kChunks[] = {1, 7, 128, 512};
  std::vector<Circumstances> out;
  for (int i = 0; i < 4; ++i) {
    for (int threads = 1; threads <= 4; ++threads) {
      const int turn = (threads - 1 - i + 4) % 4;
      if (!all_pairs && turn > 1) continue;
      out.push_back({.threads = threads,
                     .chunk = kChunks[i],
                     .neighbours = turn % 2 == 1,
                     .scattered_pages = turn == 1 || turn == 2});
    }
  }
  return out;
}

class ContractTest : public testing::TestWithParam<Case> {};

TEST_P(ContractTest, LogitsHaveOneHash) {
  const Case& c = GetParam();
  const auto file = model_file(c);
  ASSERT_TRUE(file.ok()) << file.error().message();
  Golden seen{.file = file_hash(**file), .short_prompts = {}, .long_prompt = {}};
  const auto expect_one_hash = [&](std::vector<Circumstances> all, std::vector<int32_t> lengths,
                                   std::string& first) {
    for (const Circumstances& circumstances : all) {
      SCOPED_TRACE(describe(circumstances));
      const auto hash = hash_logits(c, *file, circumstances, lengths);
      ASSERT_TRUE(hash.ok()) << hash.error().message();
      if (first.empty()) first = *hash;
      EXPECT_EQ(*hash, first);
    }
  };
  expect_one_hash(every_instruction_set(), {c.long_prompt}, seen.long_prompt);
  expect_one_hash(every_row(c.format), {1, 45}, seen.short_prompts);
  const bool thorough = c.long_prompt == kLong;
  expect_one_hash(every_cut(thorough), {1, 45}, seen.short_prompts);
  expect_one_hash(every_cut(false), {c.long_prompt}, seen.long_prompt);
  const auto goldens = read_goldens();
  const auto golden = goldens.find(c.name);
  ASSERT_NE(golden, goldens.end()) << "no line for this model; it would be: " << line_of(c, seen);
  ASSERT_EQ(seen.file, golden->second.file) << "the model of this test has other weights";
  EXPECT_EQ(seen.short_prompts, golden->second.short_prompts) << line_of(c, seen);
  EXPECT_EQ(seen.long_prompt, golden->second.long_prompt) << line_of(c, seen);
}

INSTANTIATE_TEST_SUITE_P(Models, ContractTest, testing::ValuesIn(kCases),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace quern::contract_tests
