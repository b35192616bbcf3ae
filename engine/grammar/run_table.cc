// One walk of the trie beside the bytes of a class.
#include <algorithm>

#include "engine/grammar/token_trie.h"

namespace quern::grammar {
namespace {

// Classes below this size cost less to walk than to look up.
constexpr uint64_t kMinClass = 32;
constexpr size_t kMaxTables = 24;

// The sequences of a class that begin with the bytes read so far.
struct Partial {
  uint32_t begin = 0;
  uint32_t end = 0;
  uint8_t depth = 0;  // bytes read of the character
};

class Walker {
 public:
  Walker(const TokenTrie& trie, const CharSet& set) : trie_(trie), sequences_(utf8_sequences(set)) {
    whole_ = {0, static_cast<uint32_t>(sequences_.size()), 0};
  }

  std::shared_ptr<const RunTable> run() {
    table_->inside.assign((static_cast<size_t>(trie_.n_vocab()) + 63) / 64, 0);
    table_->on_path.assign(trie_.n_nodes(), false);
    table_->on_path[0] = true;
    table_->chars.assign(trie_.n_tokens(), RunTable::kOutside);
    partial_.assign(trie_.max_depth() + 1, whole_);
    chars_.assign(trie_.max_depth() + 1, 0);
    for (uint32_t node = 1; node < trie_.n_nodes();) {
      node += enter(node) ? 1 : trie_.size(node);
    }
    sort_by_chars();
    return table_;
  }

 private:
  // False when the path leaves the run at this node.
  bool enter(uint32_t node) {
    const uint32_t depth = trie_.depth(node);
    const Partial before = partial_[depth - 1];
    const uint16_t chars = chars_[depth - 1];
    const uint8_t byte = trie_.byte(node);
    const auto at = sequences_.begin();
    const auto first =
        std::partition_point(at + before.begin, at + before.end,
                             [&](const ByteSequence& s) { return s[before.depth].high < byte; });
    const auto last = std::partition_point(
        first, at + before.end, [&](const ByteSequence& s) { return s[before.depth].low <= byte; });
    Partial now{static_cast<uint32_t>(first - at), static_cast<uint32_t>(last - at), before.depth};
    // Beyond kMaxChars a token counts as leaving, so that counts fit a byte.
    if (now.begin == now.end || chars >= RunTable::kMaxChars) {
      table_->exits[byte].push_back({node, chars, before.depth});
      table_->max_chars = std::max(table_->max_chars, static_cast<uint8_t>(chars));
      return false;
    }
    ++now.depth;
    const bool whole = sequences_[now.begin].size() == now.depth;
    partial_[depth] = whole ? whole_ : now;
    chars_[depth] = static_cast<uint16_t>(chars + (whole ? 1 : 0));
    table_->on_path[node] = whole;
    note_tokens(node, static_cast<uint8_t>(chars + 1));
    return true;
  }

  void note_tokens(uint32_t node, uint8_t chars_begun) {
    for (uint32_t i = trie_.first_token(node); i < trie_.first_token(node + 1); ++i) {
      const auto id = static_cast<size_t>(trie_.token(i));
      table_->inside[id / 64] |= uint64_t{1} << (id % 64);
      table_->chars[i] = chars_begun;
      ++table_->up_to[chars_begun];
      table_->max_chars = std::max(table_->max_chars, chars_begun);
    }
  }

  void sort_by_chars() {
    for (size_t n = 1; n < 256; ++n) table_->up_to[n] += table_->up_to[n - 1];
    std::array<uint32_t, 256> next{};
    for (size_t n = 1; n < 256; ++n) next[n] = table_->up_to[n - 1];
    table_->by_chars.resize(table_->up_to[255]);
    for (uint32_t i = 0; i < trie_.n_tokens(); ++i) {
      const uint8_t chars = table_->chars[i];
      if (chars != RunTable::kOutside) table_->by_chars[next[chars]++] = trie_.token(i);
    }
  }

  const TokenTrie& trie_;
  std::vector<ByteSequence> sequences_;
  Partial whole_;
  std::shared_ptr<RunTable> table_ = std::make_shared<RunTable>();
  std::vector<Partial> partial_;  // per depth of the path
  std::vector<uint16_t> chars_;   // whole characters, per depth
};

}  // namespace

size_t RunTable::bytes() const {
  size_t sum = inside.size() * sizeof(uint64_t) + chars.size() + on_path.size() / 8 +
               by_chars.size() * sizeof(TokenId);
  for (const auto& list : exits) sum += list.size() * sizeof(Exit);
  return sum;
}

std::shared_ptr<const RunTable> TokenTrie::make_run_table(const CharSet& set) const {
  return Walker(*this, set).run();
}

std::shared_ptr<const RunTable> TokenTrie::run_table(const CharSet& set) const {
  if (set.size() < kMinClass) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto it = run_tables_.find(set);
  if (it != run_tables_.end()) {
    it->second.used = ++uses_;
    return it->second.table;
  }
  if (run_tables_.size() >= kMaxTables) {
    run_tables_.erase(std::min_element(
        run_tables_.begin(), run_tables_.end(),
        [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  }
  auto made = make_run_table(set);
  run_tables_.emplace(set, KeptTable{made, ++uses_});
  return made;
}

}  // namespace quern::grammar
