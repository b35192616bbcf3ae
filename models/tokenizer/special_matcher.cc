// Building and walking the trie.
#include "models/tokenizer/special_matcher.h"

namespace quern::tokenizer {
namespace {

// Tokens of vocabularies that store spaces as U+2581 are looked for in text that has spaces.
std::string as_in_text(const Vocabulary& vocabulary, TokenId id) {
  std::string text(vocabulary.text(id));
  if (!vocabulary.escapes_spaces() || vocabulary.kind(id) != TokenKind::kUserDefined) return text;
  constexpr std::string_view kEscaped = "\xE2\x96\x81";
  for (size_t at = text.find(kEscaped); at != std::string::npos; at = text.find(kEscaped, at)) {
    text.replace(at, kEscaped.size(), " ");
  }
  return text;
}

}  // namespace

Result<SpecialMatcher> SpecialMatcher::create(const Vocabulary& vocabulary) {
  SpecialMatcher out;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const TokenKind kind = vocabulary.kind(id);
    const bool whole = kind == TokenKind::kControl || kind == TokenKind::kUserDefined ||
                       kind == TokenKind::kUnknown;
    if (!whole || vocabulary.text(id).empty()) continue;
    if (vocabulary.text(id).size() > kMaxSpecialBytes) {
      return Error(ErrorKind::kInvalidInput,
                   "tokenizer.ggml.tokens: special token " + std::to_string(i) + " is " +
                       std::to_string(vocabulary.text(id).size()) +
                       " bytes long, expected at most " + std::to_string(kMaxSpecialBytes) +
                       "; convert the model again");
    }
    out.add(as_in_text(vocabulary, id), id, !vocabulary.steers(id));
  }
  return out;
}

uint32_t SpecialMatcher::find_in(uint32_t first, uint8_t byte) const {
  while (first != kNoNode && nodes_[first].byte != byte) first = nodes_[first].sibling;
  return first;
}

void SpecialMatcher::add(std::string_view text, TokenId id, bool in_user_text) {
  uint32_t parent = kNoNode;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    const uint32_t first = parent == kNoNode ? heads_[byte] : nodes_[parent].child;
    uint32_t node = find_in(first, byte);
    if (node == kNoNode) {
      node = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({kNoNode, first, kNoToken, byte, false});
      (parent == kNoNode ? heads_[byte] : nodes_[parent].child) = node;
    }
    parent = node;
  }
  if (nodes_[parent].id != kNoToken) return;  // two spellings of one text: the first stays
  nodes_[parent].id = id;
  nodes_[parent].in_user_text = in_user_text;
}

std::optional<SpecialMatcher::Match> SpecialMatcher::match(std::string_view text,
                                                           SpecialParsing parsing,
                                                           uint64_t& steps) const {
  std::optional<Match> best;
  uint32_t node = text.empty() ? kNoNode : heads_[static_cast<uint8_t>(text[0])];
  for (size_t length = 1; node != kNoNode; ++length) {
    ++steps;
    const Node& here = nodes_[node];
    if (here.id != kNoToken && (here.in_user_text || parsing == SpecialParsing::kParse)) {
      best = Match{here.id, length};
    }
    if (length == text.size()) break;
    node = find_in(here.child, static_cast<uint8_t>(text[length]));
  }
  return best;
}

}  // namespace quern::tokenizer
