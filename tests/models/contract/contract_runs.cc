#include "tests/models/contract/contract_runs.h"

#include <algorithm>
#include <numeric>

#include "config/hardware/profile.h"
#include "kernels/cpu/cpu_backend.h"
#include "models/graph/forward.h"
#include "models/loader/model.h"
#include "tests/support/tiny_model.h"

namespace quern::contract_tests {
namespace {

constexpr int32_t kNeighbourTokens[] = {3, 1};  // per step, before and after the prompt's own
constexpr int32_t kNeighbourPages = 4;          // each; a neighbour starts anew when they are full

int32_t token_at(int32_t sequence, int32_t position) {
  return static_cast<int32_t>((sequence * 977 + position * 31 + position * position) %
                              tests_support::kTinyVocabSize);
}

// Another sequence in the same steps. What it computes is nobody's concern.
struct Neighbour {
  int32_t number;
  int32_t n_tokens;
  int32_t position = 0;
  std::vector<int32_t> pages;
};

class Prompt {
 public:
  static Result<Prompt> create(backend::Backend& backend, const loader::Model& model, const Case& c,
                               const Circumstances& circumstances, int32_t n_tokens);
  Status run(int32_t number, Sha256& hash);

 private:
  Prompt() = default;
  void append(int32_t sequence, int32_t first_position, int32_t n, std::span<const int32_t> pages);
  void append_neighbour(Neighbour& neighbour);
  Status step(int32_t number, int32_t position, int32_t n, Sha256& hash);

  std::unique_ptr<graph::KvStorage> storage_;
  std::unique_ptr<graph::ForwardPass> forward_;
  std::vector<int32_t> pages_;
  std::vector<Neighbour> neighbours_;
  int32_t n_tokens_ = 0;
  int32_t chunk_ = 0;
  size_t n_vocab_ = 0;
  std::vector<int32_t> tokens_;
  std::vector<ops::SequenceSlice> slices_;
  std::vector<float> logits_;
};

Result<Prompt> Prompt::create(backend::Backend& backend, const loader::Model& model, const Case& c,
                              const Circumstances& circumstances, int32_t n_tokens) {
  Prompt prompt;
  prompt.n_tokens_ = n_tokens;
  prompt.chunk_ = circumstances.chunk;
  prompt.n_vocab_ = static_cast<size_t>(model.facts().n_vocab);
  const int32_t own = (n_tokens + graph::kPageTokens - 1) / graph::kPageTokens;
  const int32_t total = own + 2 * kNeighbourPages;
  std::vector<int32_t> ids(static_cast<size_t>(total));
  std::iota(ids.begin(), ids.end(), 0);
  if (circumstances.scattered_pages) {
    // A fixed shuffle, so that neither order nor neighbourhood of the ids says anything.
    for (int32_t i = total - 1; i > 0; --i) {
      std::swap(ids[static_cast<size_t>(i)], ids[static_cast<size_t>((i * 7919 + 13) % (i + 1))]);
    }
  }
  prompt.pages_.assign(ids.begin(), ids.begin() + own);
  if (circumstances.neighbours) {
    for (int32_t i = 0; i < 2; ++i) {
      const auto first = ids.begin() + own + i * kNeighbourPages;
      prompt.neighbours_.push_back(
          {1000 + i, kNeighbourTokens[i], 0, std::vector<int32_t>(first, first + kNeighbourPages)});
    }
  }
  QUERN_ASSIGN_OR_RETURN(prompt.storage_,
                         graph::KvStorage::create(backend, *model.weights(), c.kv_format, total));
  QUERN_ASSIGN_OR_RETURN(
      prompt.forward_,
      graph::ForwardPass::create(backend, model.weights(), prompt.chunk_ + 4, prompt.chunk_));
  return prompt;
}

void Prompt::append(int32_t sequence, int32_t first_position, int32_t n,
                    std::span<const int32_t> pages) {
  slices_.push_back({.first_token = static_cast<int32_t>(tokens_.size()),
                     .n_tokens = n,
                     .first_position = first_position,
                     .pages = pages});
  for (int32_t i = 0; i < n; ++i) tokens_.push_back(token_at(sequence, first_position + i));
}

void Prompt::append_neighbour(Neighbour& neighbour) {
  if (neighbour.position + neighbour.n_tokens > kNeighbourPages * graph::kPageTokens) {
    neighbour.position = 0;
  }
  append(neighbour.number, neighbour.position, neighbour.n_tokens, neighbour.pages);
  neighbour.position += neighbour.n_tokens;
}

Status Prompt::step(int32_t number, int32_t position, int32_t n, Sha256& hash) {
  tokens_.clear();
  slices_.clear();
  if (!neighbours_.empty()) append_neighbour(neighbours_[0]);
  const auto first = static_cast<int32_t>(tokens_.size());
  append(number, position, n, pages_);
  if (!neighbours_.empty()) append_neighbour(neighbours_[1]);
  std::vector<int32_t> outputs(static_cast<size_t>(n));
  std::iota(outputs.begin(), outputs.end(), first);
  logits_.resize(static_cast<size_t>(n) * n_vocab_);
  QUERN_RETURN_IF_ERROR(forward_->run({.tokens = tokens_, .sequences = slices_, .outputs = outputs},
                                      *storage_, logits_));
  hash.add(std::as_bytes(std::span(logits_)));
  return ok_status();
}

Status Prompt::run(int32_t number, Sha256& hash) {
  for (int32_t position = 0; position < n_tokens_;) {
    const int32_t n = std::min(chunk_, n_tokens_ - position);
    QUERN_RETURN_IF_ERROR(step(number, position, n, hash));
    position += n;
  }
  return ok_status();
}

}  // namespace

std::string describe(const Circumstances& circumstances) {
  std::string text = std::to_string(circumstances.threads) + " threads, chunks of " +
                     std::to_string(circumstances.chunk);
  if (!circumstances.isa_cap.empty()) text += ", up to " + std::string(circumstances.isa_cap);
  if (!circumstances.forced_row.empty()) text += ", " + circumstances.forced_row;
  text += circumstances.neighbours ? ", among neighbours" : ", alone";
  text += circumstances.scattered_pages ? ", pages scattered" : ", pages in order";
  return text;
}

Result<std::shared_ptr<const gguf::GgufFile>> model_file(const Case& c) {
  tests_support::TinyModelOptions options = tests_support::tiny_options_for(c.format);
  options.architecture = c.architecture;
  options.n_experts = c.n_experts;
  options.head_dim = std::max<int64_t>(options.head_dim, 32);  // a block of a quantized cache
  options.n_embedding = options.n_heads * options.head_dim;
  options.optional_tensors = true;
  options.random_blocks = true;
  options.sliding_window = c.long_prompt / 3;  // for the architectures that have one
  options.context_length = 1024;
  return tests_support::tiny_model_file(options);
}

Result<std::string> hash_logits(const Case& c, std::shared_ptr<const gguf::GgufFile> file,
                                const Circumstances& circumstances,
                                std::span<const int32_t> prompt_lengths) {
  const hardware::HardwareProfile profile = hardware::probe_hardware();
  std::vector<std::string> forced;
  if (!circumstances.forced_row.empty()) forced.push_back(circumstances.forced_row);
  QUERN_ASSIGN_OR_RETURN(auto backend, cpu::create_cpu_backend({.profile = profile,
                                                                .threads = circumstances.threads,
                                                                .forced_rows = forced,
                                                                .isa_cap = circumstances.isa_cap}));
  QUERN_ASSIGN_OR_RETURN(const auto model, loader::Model::load(std::move(file), *backend));
  Sha256 hash;
  for (const int32_t n_tokens : prompt_lengths) {
    QUERN_ASSIGN_OR_RETURN(Prompt prompt,
                           Prompt::create(*backend, *model, c, circumstances, n_tokens));
    QUERN_RETURN_IF_ERROR(prompt.run(n_tokens, hash));
  }
  return to_hex(hash.finish());
}

}  // namespace quern::contract_tests
