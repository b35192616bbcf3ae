// White space, strings, keys and whole values. Numbers are in json_numbers.cc.
#include "engine/grammar/json_text.h"

#include <algorithm>

namespace quern::grammar {
namespace {

constexpr uint32_t kMaxIndent = 32;

CharSet must_escape() { return CharSet({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}); }

// How a character that must be escaped is written.
std::string escaped(uint32_t code) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (code) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return std::string("\\u00") + kHex[code >> 4] + kHex[code & 15];
  }
}

}  // namespace

ExprId JsonText::space() {
  if (!space_) {
    space_ = grammar_.add_rule("white space");
    const ExprId indent = grammar_.repeat(grammar_.char_class(CharSet::of(" \t")), 0, kMaxIndent);
    grammar_.define(*space_,
                    grammar_.choice({grammar_.empty(), grammar_.literal(" "),
                                     grammar_.sequence({grammar_.literal("\n"), indent})}));
  }
  return grammar_.call(*space_);
}

ExprId JsonText::boolean() {
  return grammar_.choice({grammar_.literal("true"), grammar_.literal("false")});
}

// One character in any spelling. A pair of surrogates counts as the one character it is.
ExprId JsonText::character() {
  if (character_) return *character_;
  const auto set = [this](std::vector<CodeRange> ranges) {
    return grammar_.char_class(CharSet(std::move(ranges)));
  };
  const auto hex = [&] { return set({{'0', '9'}, {'a', 'f'}, {'A', 'F'}}); };
  const auto d = [&] { return set({{'d', 'd'}, {'D', 'D'}}); };
  const ExprId plain = grammar_.sequence(
      {set({{'0', '9'}, {'a', 'c'}, {'A', 'C'}, {'e', 'f'}, {'E', 'F'}}), hex(), hex(), hex()});
  const ExprId below_surrogates = grammar_.sequence({d(), set({{'0', '7'}}), hex(), hex()});
  const ExprId pair = grammar_.sequence({d(), set({{'8', '9'}, {'a', 'b'}, {'A', 'B'}}), hex(),
                                         hex(), grammar_.literal("\\u"), d(),
                                         set({{'c', 'f'}, {'C', 'F'}}), hex(), hex()});
  const ExprId code =
      grammar_.sequence({grammar_.literal("u"), grammar_.choice({plain, below_surrogates, pair})});
  const ExprId escape =
      grammar_.sequence({grammar_.literal("\\"),
                         grammar_.choice({grammar_.char_class(CharSet::of("\"\\/bfnrt")), code})});
  character_ =
      grammar_.choice({grammar_.char_class(CharSet::all().without(must_escape())), escape});
  return *character_;
}

ExprId JsonText::string(uint32_t min, uint32_t max) {
  return grammar_.sequence(
      {grammar_.literal("\""), grammar_.repeat(character(), min, max), grammar_.literal("\"")});
}

ExprId JsonText::character_of(const CharSet& set) {
  std::vector<ExprId> ways;
  const CharSet raw = set.without(must_escape());
  if (!raw.empty()) ways.push_back(grammar_.char_class(raw));
  const CharSet in_escapes = set.intersected(must_escape());
  for (const CodeRange& range : in_escapes.ranges()) {
    for (uint32_t code = range.low; code <= range.high; ++code) {
      ways.push_back(grammar_.literal(escaped(code)));
    }
  }
  return grammar_.choice(ways);
}

ExprId JsonText::other_key(const std::vector<std::string>& names) {
  const CharSet raw = CharSet::all().without(must_escape());
  const ExprId rest = grammar_.repeat(grammar_.char_class(raw), 0, kUnbounded);
  const ExprId close = grammar_.literal("\"");
  // Keys in order, so that those with a common front stand together; longest fronts are closed
  // first. A level is a front of names: the characters that go on with a name, and what follows.
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  struct Level {
    bool is_name = false;
    uint32_t code = 0;  // that leads here
    std::vector<CodeRange> taken;
    std::vector<ExprId> ways;
  };
  std::vector<Level> open(1);
  const auto close_level = [&](Level& level) {
    const CharSet others = raw.without(CharSet(level.taken));
    level.ways.push_back(grammar_.sequence({grammar_.char_class(others), rest, close}));
    if (!level.is_name) level.ways.push_back(close);
    return grammar_.choice(level.ways);
  };
  const auto close_to = [&](size_t depth) {
    while (open.size() > depth + 1) {
      Level level = std::move(open.back());
      open.pop_back();
      const ExprId tail = close_level(level);
      const ExprId lead = grammar_.char_class(CharSet({{level.code, level.code}}));
      open.back().ways.push_back(grammar_.sequence({lead, tail}));
    }
  };
  std::vector<uint32_t> path;
  for (const std::string& name : sorted) {
    std::vector<uint32_t> codes;
    std::string_view left = name;
    uint32_t code = 0;
    while (take_utf8(left, code)) codes.push_back(code);
    // A name that needs escapes can only be written with them, which other keys are not.
    const bool plain =
        std::all_of(codes.begin(), codes.end(), [&](uint32_t c) { return raw.contains(c); });
    if (!plain || !left.empty()) continue;
    const auto differ = std::mismatch(path.begin(), path.end(), codes.begin(), codes.end());
    close_to(static_cast<size_t>(differ.first - path.begin()));
    for (size_t i = open.size() - 1; i < codes.size(); ++i) {
      open.back().taken.push_back({codes[i], codes[i]});
      open.emplace_back();
      open.back().code = codes[i];
    }
    open.back().is_name = true;
    path = std::move(codes);
  }
  close_to(0);
  return grammar_.sequence({close, close_level(open.front())});
}

RuleId JsonText::value_rule() {
  if (value_) return *value_;
  value_ = grammar_.add_rule("any JSON value");
  const ExprId body = grammar_.choice(
      {any_object(), any_array(), string(0, kUnbounded), number(), boolean(), null()});
  grammar_.define(*value_, body);
  return *value_;
}

ExprId JsonText::any_object() {
  const ExprId value = any_value();
  const auto member = [&] {
    return grammar_.sequence({string(0, kUnbounded), grammar_.literal(":"), space(), value});
  };
  const ExprId more =
      grammar_.repeat(grammar_.sequence({grammar_.literal(","), space(), member()}), 0, kUnbounded);
  return grammar_.sequence({grammar_.literal("{"), space(),
                            grammar_.optional(grammar_.sequence({member(), more, space()})),
                            grammar_.literal("}")});
}

ExprId JsonText::any_array() {
  const ExprId value = any_value();
  const ExprId more =
      grammar_.repeat(grammar_.sequence({grammar_.literal(","), space(), value}), 0, kUnbounded);
  return grammar_.sequence({grammar_.literal("["), space(),
                            grammar_.optional(grammar_.sequence({value, more, space()})),
                            grammar_.literal("]")});
}

}  // namespace quern::grammar
