// Finds a token by its text. Open addressing over ids; the texts stay with their owner.
//
// Invariant: at least half of the slots are free, so probing ends.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

namespace quern::tokenizer {

class TextIndex {
 public:
  explicit TextIndex(size_t expected) : slots_(std::bit_ceil(expected * 2 + 2), kFree) {}

  // Adds `id` under `text`; returns the id that already has this text instead, if there is one.
  // `text_of(id)` gives the text of an id added before.
  template <typename TextOf>
  std::optional<uint32_t> insert(std::string_view text, uint32_t id, const TextOf& text_of) {
    size_t slot = first_slot(text);
    for (; slots_[slot] != kFree; slot = next_slot(slot)) {
      if (text_of(slots_[slot]) == text) return slots_[slot];
    }
    slots_[slot] = id;
    return std::nullopt;
  }

  template <typename TextOf>
  std::optional<uint32_t> find(std::string_view text, const TextOf& text_of) const {
    for (size_t slot = first_slot(text); slots_[slot] != kFree; slot = next_slot(slot)) {
      if (text_of(slots_[slot]) == text) return slots_[slot];
    }
    return std::nullopt;
  }

 private:
  static constexpr uint32_t kFree = 0xFFFFFFFF;
  size_t first_slot(std::string_view text) const {
    return std::hash<std::string_view>{}(text) & (slots_.size() - 1);
  }
  size_t next_slot(size_t slot) const { return (slot + 1) & (slots_.size() - 1); }

  std::vector<uint32_t> slots_;
};

}  // namespace quern::tokenizer
