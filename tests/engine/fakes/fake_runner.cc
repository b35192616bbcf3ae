// Hash model over simulated page memory.
#include "tests/engine/fakes/fake_runner.h"

#include <algorithm>
#include <cstring>

#include "config/base/check.h"

namespace quern::engine {
namespace {

uint64_t mix(uint64_t state, uint64_t value) {
  state = (state ^ value) * 0xBF58476D1CE4E5B9ULL;
  return state ^ (state >> 29);
}

void fill(uint64_t state, std::span<float> row) {
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] = static_cast<float>(mix(state, i) % 10000) / 1000.0F;
  }
}

uint64_t hash(std::span<const int32_t> tokens) {
  uint64_t state = 0x9E3779B97F4A7C15ULL;
  for (const int32_t token : tokens) state = mix(state, static_cast<uint64_t>(token) + 1);
  return state;
}

}  // namespace

std::vector<float> FakeRunner::logits_after(std::span<const int32_t> tokens, int64_t n_vocab) {
  std::vector<float> row(static_cast<size_t>(n_vocab));
  fill(hash(tokens), row);
  return row;
}

Status FakeRunner::run(const ops::StepInputs& inputs, std::span<float> logits) {
  const int64_t step = ++n_steps;
  const auto n_sequences = static_cast<int64_t>(inputs.sequences.size());
  max_sequences_seen = std::max(max_sequences_seen.load(), n_sequences);
  if (before_run) QUERN_RETURN_IF_ERROR(before_run(step, inputs));
  for (const ops::SequenceSlice& slice : inputs.sequences) {
    for (int32_t i = 0; i < slice.n_tokens; ++i) {
      const int32_t position = slice.first_position + i;
      const int32_t page = slice.pages[static_cast<size_t>(position / page_tokens_)];
      memory_[static_cast<size_t>(page * page_tokens_ + position % page_tokens_)] =
          inputs.tokens[static_cast<size_t>(slice.first_token + i)];
    }
  }
  CHECK(logits.size() == inputs.outputs.size() * static_cast<size_t>(n_vocab_));
  size_t row = 0;
  for (const ops::SequenceSlice& slice : inputs.sequences) {
    for (int32_t i = 0; i < slice.n_tokens && row < inputs.outputs.size(); ++i) {
      if (inputs.outputs[row] != slice.first_token + i) continue;
      std::vector<int32_t> seen;
      for (int32_t position = 0; position <= slice.first_position + i; ++position) {
        const int32_t page = slice.pages[static_cast<size_t>(position / page_tokens_)];
        seen.push_back(memory_[static_cast<size_t>(page * page_tokens_ + position % page_tokens_)]);
      }
      const auto width = static_cast<size_t>(n_vocab_);
      const auto out = logits.subspan(row * width, width);
      fill(hash(seen), out);
      if (after_row) after_row(seen, out);
      ++row;
    }
  }
  CHECK(row == inputs.outputs.size());
  return ok_status();
}

void FakeRunner::copy_page(PageId from, PageId to) {
  const auto at = [&](PageId page) { return memory_.begin() + page * page_tokens_; };
  std::copy(at(from), at(from) + page_tokens_, at(to));
}

void FakeRunner::read_page(PageId page, std::span<std::byte> out) {
  CHECK(out.size() == page_bytes());
  std::memcpy(out.data(), memory_.data() + page * page_tokens_, out.size());
}

void FakeRunner::write_page(PageId page, std::span<const std::byte> bytes) {
  CHECK(bytes.size() == page_bytes());
  std::memcpy(memory_.data() + page * page_tokens_, bytes.data(), bytes.size());
}

Status FakeRunner::check_model() const {
  if (!model_gone) return ok_status();
  return Error(ErrorKind::kIo, "reading the model file fake.gguf failed while it was in use");
}

}  // namespace quern::engine
