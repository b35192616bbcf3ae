// Open addressing with a multiplicative hash; pairs are 64-bit keys.
#include "models/tokenizer/merge_table.h"

#include <bit>

namespace quern::tokenizer {
namespace {

uint64_t pair_key(uint32_t left, uint32_t right) { return (uint64_t{left} << 32) | right; }

Error bad_merge(size_t index, std::string_view text) {
  return Error(ErrorKind::kInvalidInput,
               "tokenizer.ggml.merges: entry " + std::to_string(index) + " is \"" +
                   std::string(text.substr(0, 40)) +
                   "\", expected two texts with one space between them; convert the model again");
}

}  // namespace

Result<MergeTable> MergeTable::create(const Vocabulary& vocabulary,
                                      const std::vector<std::string>& merges) {
  if (merges.size() > kMaxMerges) {
    return Error(ErrorKind::kInvalidInput,
                 "tokenizer.ggml.merges has " + std::to_string(merges.size()) +
                     " entries, expected at most " + std::to_string(kMaxMerges) +
                     "; the file is damaged");
  }
  MergeTable out(vocabulary);
  out.slots_.resize(std::bit_ceil(merges.size() * 2 + 2));
  for (size_t i = 0; i < merges.size(); ++i) {
    const std::string_view merge = merges[i];
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string_view::npos) {
      return bad_merge(i, merge);
    }
    std::string left(merge.substr(0, space));
    std::string right(merge.substr(space + 1));
    std::string joint = left + right;
    const uint32_t left_symbol = out.intern(std::move(left));
    const uint32_t right_symbol = out.intern(std::move(right));
    const uint32_t joint_symbol = out.intern(std::move(joint));
    const size_t n = vocabulary.size();
    if (left_symbol >= n || right_symbol >= n || joint_symbol >= n) ++out.n_through_non_tokens_;
    out.insert(left_symbol, right_symbol, static_cast<uint32_t>(i), joint_symbol);
  }
  return out;
}

uint32_t MergeTable::symbol(std::string_view text) const {
  const auto id = vocabulary_->find(text);
  if (id) return static_cast<uint32_t>(*id);
  if (extra_.empty()) return kNoSymbol;
  const auto found = extra_.find(std::string(text));
  return found == extra_.end() ? kNoSymbol : found->second;
}

uint32_t MergeTable::intern(std::string text) {
  const auto id = vocabulary_->find(text);
  if (id) return static_cast<uint32_t>(*id);
  const auto next = static_cast<uint32_t>(vocabulary_->size() + extra_.size());
  return extra_.emplace(std::move(text), next).first->second;
}

size_t MergeTable::first_slot(uint64_t key) const {
  return ((key * 0x9E3779B97F4A7C15U) >> 20) & (slots_.size() - 1);
}

void MergeTable::insert(uint32_t left, uint32_t right, uint32_t rank, uint32_t joint) {
  const uint64_t key = pair_key(left, right);
  size_t slot = first_slot(key);
  while (slots_[slot].key != ~uint64_t{0}) {
    if (slots_[slot].key == key) return;
    slot = (slot + 1) & (slots_.size() - 1);
  }
  slots_[slot] = {key, rank, joint};
}

std::optional<MergeResult<uint32_t>> MergeTable::find(uint32_t left, uint32_t right) const {
  if (left == kNoSymbol || right == kNoSymbol) return std::nullopt;
  const uint64_t key = pair_key(left, right);
  for (size_t slot = first_slot(key); slots_[slot].key != ~uint64_t{0};
       slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot].key == key) {
      return MergeResult<uint32_t>{slots_[slot].rank, slots_[slot].joint};
    }
  }
  return std::nullopt;
}

}  // namespace quern::tokenizer
