// Looks a rule up in the table and compiles its patterns.
#include "models/tokenizer/pretokenize.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>

namespace quern::tokenizer {
namespace {

enum Options : unsigned { kNone = 0, kWholeWords = 1, kBegins = 2, kEncloses = 4 };
constexpr size_t kMostPatterns = 6;

struct Rule {
  std::string_view names;  // separated by single spaces
  unsigned options;
  std::string_view patterns[kMostPatterns];  // unused ones are empty
};

// clang-format off
constexpr Rule kRules[] = {
#define QUERN_PRETOKENIZER(names, options, ...) {names, options, {__VA_ARGS__}},
#include "models/tokenizer/pretokenize.inc"
#undef QUERN_PRETOKENIZER
};
// clang-format on

std::vector<std::string_view> split_names(std::string_view names) {
  std::vector<std::string_view> out;
  while (!names.empty()) {
    const size_t space = names.find(' ');
    out.push_back(names.substr(0, space));
    names = space == std::string_view::npos ? std::string_view() : names.substr(space + 1);
  }
  return out;
}

const Rule* find_rule(std::string_view name) {
  for (const Rule& rule : kRules) {
    for (const std::string_view candidate : split_names(rule.names)) {
      if (candidate == name) return &rule;
    }
  }
  return nullptr;
}

}  // namespace

std::vector<std::string_view> Pretokenizer::names() {
  std::vector<std::string_view> out;
  for (const Rule& rule : kRules) {
    const auto some = split_names(rule.names);
    out.insert(out.end(), some.begin(), some.end());
  }
  return out;
}

Result<std::shared_ptr<const Pretokenizer>> Pretokenizer::create(std::string_view name) {
  const Rule* rule = find_rule(name);
  if (rule == nullptr) {
    std::string known;
    for (const std::string_view one : names()) known.append(known.empty() ? "" : ", ").append(one);
    return Error(ErrorKind::kUnsupported,
                 "tokenizer.ggml.pre is \"" + std::string(name.substr(0, 64)) +
                     "\", which is not a pre-tokenizer rule known here; known are " + known +
                     "; convert the model with one of them or extend models/tokenizer");
  }
  std::shared_ptr<Pretokenizer> out(new Pretokenizer());
  out->whole_words_first_ = (rule->options & kWholeWords) != 0;
  out->adds_bos_ = (rule->options & (kBegins | kEncloses)) != 0;
  out->adds_eos_ = (rule->options & kEncloses) != 0;
  for (const std::string_view pattern : rule->patterns) {
    if (pattern.empty()) continue;
    out->patterns_.push_back(pattern);
    out->passes_.emplace_back(pattern);
  }
  return std::shared_ptr<const Pretokenizer>(std::move(out));
}

std::optional<std::string_view> Pretokenizer::find_by_patterns(
    std::span<const std::string> patterns, bool whole_words_first) {
  for (const Rule& rule : kRules) {
    if (((rule.options & kWholeWords) != 0) != whole_words_first) continue;
    const auto end = std::find(std::begin(rule.patterns), std::end(rule.patterns), "");
    if (std::equal(std::begin(rule.patterns), end, patterns.begin(), patterns.end())) {
      return split_names(rule.names).front();
    }
  }
  return std::nullopt;
}

std::vector<CodeRange> Pretokenizer::split(const CodeText& text, uint64_t& steps) const {
  std::vector<CodeRange> pieces;
  if (text.size() == 0) return pieces;
  pieces.push_back({0, text.size()});
  std::vector<CodeRange> finer;
  for (const SplitPass& pass : passes_) {
    finer.clear();
    for (const CodeRange piece : pieces) pass.split(text, piece, finer, steps);
    pieces.swap(finer);
  }
  return pieces;
}

}  // namespace quern::tokenizer
