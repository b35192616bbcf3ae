// Masks against brute force: a token is permitted exactly when its bytes, one after the other, keep
// the text alive; with and without the tables of runs, cached or not, here or on the worker.
#include "engine/grammar/token_mask.h"

#include <gtest/gtest.h>

#include "engine/grammar/mask_worker.h"
#include "tests/engine/grammar/grammar_fixture.h"

namespace quern::grammar {
namespace {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t below(uint64_t n) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return (state_ >> 33) % n;
  }

 private:
  uint64_t state_;
};

const char* const kGrammars[] = {
    "root ::= \"yes\" | \"no\"",
    "root ::= [a-z]* \" \"? [^\\n]*",
    "root ::= ([a-z\xC3\xA9]{3,9} \" \")* \"!\"",
    "root ::= .{0,200}",
    "root ::= [a-zA-Z0-9 ]{2,150} \"b\" [^\"]{0,7} \"\\\"\"",
    "root ::= [a-z]+ \"b\" | [^x]{1,130} \"y\"",
    "root ::= \"[\" (root (\",\" root)*)? \"]\" | [0-9]+ | \"\\\"\" [^\"\\\\]* \"\\\"\"",
    "root ::= ([^a]{1,40} \"a\"){2,90}",
    "root ::= [\xE2\x82\xAC-\xE2\x82\xAF\xC3\xA9]* \"a\"?",
    "root ::= ([a-z]{0,40} | [a-y]{0,50}) \".\"",
};

const char* const kSchemas[] = {
    R"({"type":"object","properties":{"name":{"type":"string","maxLength":20},"n":{"type":"integer"}},"required":["name"]})",
    R"({})",
    R"({"type":"array","items":{"enum":["a","ab","abc",1,null]},"minItems":1})",
    R"({"type":"object","additionalProperties":{"type":"string","pattern":"^[a-c]+é?$"},"properties":{"a":{"type":"string","format":"date"}}})",
    R"({"type":"string","minLength":100,"maxLength":300})",
};

std::vector<Automaton> automata() {
  std::vector<Automaton> out;
  for (const char* text : kGrammars) {
    auto built = automaton_of_gbnf(text);
    EXPECT_TRUE(built.ok()) << text << outcome(built);
    if (built.ok()) out.push_back(std::move(built).value());
  }
  for (const char* text : kSchemas) {
    const auto schema = parse_json(text);
    Budget budget;
    Grammar grammar(budget);
    const Status parsed = parse_json_schema(*schema, grammar);
    EXPECT_TRUE(parsed.ok()) << text << (parsed.ok() ? "" : parsed.error().message());
    auto built = compile(grammar);
    EXPECT_TRUE(built.ok()) << text << outcome(built);
    if (built.ok()) out.push_back(std::move(built).value());
  }
  return out;
}

TokenMask brute_force(StateTable& table, const TokenTrie& trie, StateId state, bool drop_space) {
  TokenMask out;
  out.bits.assign((static_cast<size_t>(trie.n_vocab()) + 63) / 64, 0);
  const auto permit = [&out](TokenId id) {
    out.bits[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<size_t>(id) % 64);
    out.any = true;
  };
  for (TokenId id = 0; id < trie.n_vocab(); ++id) {
    std::string_view bytes = trie.bytes_of(id);
    if (drop_space && bytes.starts_with(' ')) bytes.remove_prefix(1);
    if (!bytes.empty() && table.run_bytes(state, bytes) != kDead) permit(id);
  }
  if (table.accepting(state)) {
    for (const TokenId id : trie.end_tokens()) permit(id);
  }
  return out;
}

// Random texts over the bytes that are permitted; at each state the masks are compared.
void compare_along_walks(const Automaton& automaton, const TokenTrie& trie, int walks) {
  StateTable table(automaton);
  StateTable plain_table(automaton);
  MaskWalker walker(automaton, table, trie);
  MaskWalker plain(automaton, plain_table, trie, false);
  Random random(7);
  for (int walk = 0; walk < walks; ++walk) {
    StateId state = table.start();
    StateId plain_state = plain_table.start();
    for (int step = 0; step < 60; ++step) {
      const TokenMask want = brute_force(table, trie, state, step == 0);
      const TokenMask got = walker.mask(state, step == 0);
      ASSERT_EQ(got.bits, want.bits) << "walk " << walk << " step " << step;
      ASSERT_EQ(got.any, want.any);
      ASSERT_EQ(plain.mask(plain_state, step == 0).bits, want.bits);
      std::vector<TokenId> choices;
      for (TokenId id = 1; id < trie.n_vocab(); ++id) {
        if (got.permits(id)) choices.push_back(id);
      }
      if (choices.empty()) break;
      const std::string_view bytes = trie.bytes_of(choices[random.below(choices.size())]);
      const bool drop = step == 0 && bytes.starts_with(' ');
      state = table.run_bytes(state, bytes.substr(drop ? 1 : 0));
      plain_state = plain_table.run_bytes(plain_state, bytes.substr(drop ? 1 : 0));
      ASSERT_NE(state, kDead);
    }
  }
}

TEST(MaskTest, EqualBruteForce) {
  for (const Automaton& automaton : automata()) compare_along_walks(automaton, *small_trie(), 12);
}

TEST(MaskTest, EqualBruteForceOnRandomVocabularies) {
  Random random(3);
  const std::vector<std::string> pieces = {"a", "b", "z",  " ", "\"",   "\\",       ",",
                                           "é", "€", "\n", "1", "\xC3", "\xE2\x82", "\xA9",
                                           "[", "]", "{",  "}", ":"};
  std::vector<std::string> texts(1);
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    const uint64_t n = 1 + random.below(i % 50 == 0 ? 300 : 6);
    const uint64_t favourite = random.below(pieces.size());
    for (uint64_t k = 0; k < n; ++k) {
      text += pieces[random.below(3) == 0 ? random.below(pieces.size()) : favourite];
    }
    texts.push_back(text);
  }
  const auto trie = TokenTrie::build(texts, {kEndToken});
  for (const Automaton& automaton : automata()) compare_along_walks(automaton, *trie, 2);
}

TEST(MatcherTest, EndsOnlyWhereTheGrammarDoes) {
  const auto built = from_gbnf("root ::= \"ab\" \"c\"?");
  ASSERT_TRUE(built.ok());
  Matcher matcher(*built, false);
  EXPECT_FALSE((*matcher.mask())->permits(kEndToken));
  ASSERT_TRUE(matcher.accept(1 + 'a').ok());
  EXPECT_FALSE(matcher.accepting());
  ASSERT_TRUE(matcher.accept(1 + 'b').ok());
  EXPECT_TRUE(matcher.accepting());
  EXPECT_FALSE(matcher.complete());
  const auto mask = matcher.mask();
  EXPECT_TRUE((*mask)->permits(kEndToken));
  EXPECT_TRUE((*mask)->permits(1 + 'c'));
  EXPECT_FALSE((*mask)->permits(1 + 'd'));
  ASSERT_TRUE(matcher.accept(kEndToken).ok());
  ASSERT_TRUE(matcher.accept(1 + 'c').ok());
  EXPECT_TRUE(matcher.complete());
  const auto last = matcher.mask();
  EXPECT_TRUE((*last)->permits(kEndToken));
  EXPECT_EQ(matcher.accept(1 + 'c').error().kind(), ErrorKind::kInternal);
}

TEST(MatcherTest, TheDroppedSpaceIsNotPartOfTheText) {
  const auto built = from_gbnf("root ::= \"world\" | \"{\"");
  ASSERT_TRUE(built.ok());
  const auto trie = small_trie();
  TokenId world = 0;
  for (TokenId id = 1; id < trie->n_vocab(); ++id) {
    if (trie->bytes_of(id) == " world") world = id;
  }
  Matcher dropping(*built, true);
  EXPECT_TRUE((*dropping.mask())->permits(world));
  EXPECT_FALSE((*dropping.mask())->permits(1 + ' '));
  ASSERT_TRUE(dropping.accept(world).ok());
  EXPECT_TRUE(dropping.complete());
  Matcher keeping(*built, false);
  EXPECT_FALSE((*keeping.mask())->permits(world));
}

TEST(MatcherTest, FailsClosedWhenTheVocabularyCannotWriteIt) {
  const auto trie = TokenTrie::build(std::vector<std::string>{"", "a", "b"}, {kEndToken});
  auto automaton = automaton_of_gbnf("root ::= \"a\" \"x\"");
  const auto built = Constraint::create(std::move(automaton).value(), trie);
  ASSERT_TRUE(built.ok());
  Matcher matcher(*built, false);
  ASSERT_TRUE(matcher.mask().ok());
  ASSERT_TRUE(matcher.accept(1).ok());
  const auto mask = matcher.mask();
  ASSERT_FALSE(mask.ok());
  EXPECT_NE(mask.error().message().find("permits no token"), std::string::npos);
}

TEST(MatcherTest, SameMasksWithAndWithoutWorkerAndAfterMoving) {
  Limits small;
  small.max_table_bytes = 30'000;  // moves to new tables all the time
  const char* text = "root ::= \"[\" (root (\",\" root)*)? \"]\" | [0-9]{1,200} | [a-z \\n]*";
  const auto roomy = from_gbnf(text);
  const auto tight = from_gbnf(text, small);
  ASSERT_TRUE(roomy.ok() && tight.ok());
  MaskWorker worker;
  Random random(11);
  Matcher a(*roomy, false);
  Matcher b(*tight, false);
  for (int step = 0; step < 400; ++step) {
    b.prefetch(worker);
    const auto left = a.mask();
    const auto right = b.mask();
    ASSERT_TRUE(left.ok() && right.ok());
    ASSERT_EQ((*left)->bits, (*right)->bits) << step;
    std::vector<TokenId> choices;
    for (TokenId id = 1; id < small_trie()->n_vocab(); ++id) {
      if ((*left)->permits(id)) choices.push_back(id);
    }
    if (choices.empty()) break;
    const TokenId token = choices[random.below(choices.size())];
    ASSERT_TRUE(a.accept(token).ok());
    ASSERT_TRUE(b.accept(token).ok());
    ASSERT_EQ(a.complete(), b.complete());
  }
}

}  // namespace
}  // namespace quern::grammar
