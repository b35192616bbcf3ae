// Pre-tokenizer rules by name: how byte-level BPE cuts text into words before it merges.
//
// The table is pretokenize.inc, one line per rule; the scanning is split_rule.h. A name that is not
// in the table is an error that lists those that are: guessing would change every token quietly.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "models/tokenizer/split_rule.h"

namespace quern::tokenizer {

class Pretokenizer {
 public:
  // `name` as in tokenizer.ggml.pre.
  static Result<std::shared_ptr<const Pretokenizer>> create(std::string_view name);
  // Every accepted name, in table order.
  static std::vector<std::string_view> names();

  // The main name of the first rule with exactly these patterns that also treats words that are
  // themselves tokens so; nothing when there is none.
  static std::optional<std::string_view> find_by_patterns(std::span<const std::string> patterns,
                                                          bool whole_words_first);

  // Words in order; together they are the whole text. `steps` counts characters looked at.
  std::vector<CodeRange> split(const CodeText& text, uint64_t& steps) const;

  bool whole_words_first() const { return whole_words_first_; }
  bool adds_bos() const { return adds_bos_; }
  bool adds_eos() const { return adds_eos_; }
  // The regular expressions, for tests that compare with another implementation.
  const std::vector<std::string_view>& patterns() const { return patterns_; }

 private:
  Pretokenizer() = default;

  std::vector<std::string_view> patterns_;
  std::vector<SplitPass> passes_;
  bool whole_words_first_ = false;
  bool adds_bos_ = false;
  bool adds_eos_ = false;
};

}  // namespace quern::tokenizer
