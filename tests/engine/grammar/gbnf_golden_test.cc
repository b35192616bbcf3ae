// Languages of grammars against lark's Earley parser (tests/golden/grammar/make_gbnf_golden.py).
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/engine/grammar/grammar_fixture.h"

namespace quern::grammar {
namespace {

// All texts over `alphabet` of up to `longest` characters, in counting order.
template <typename Visit>
void for_each_text(const std::string& alphabet, size_t longest, Visit visit) {
  std::vector<size_t> digits;
  while (digits.size() <= longest) {
    std::string text;
    for (const size_t d : digits) text += alphabet[d];
    visit(text);
    size_t i = digits.size();
    while (i > 0 && digits[i - 1] + 1 == alphabet.size()) digits[--i] = 0;
    if (i == 0) {
      digits.insert(digits.begin(), 0);
    } else {
      ++digits[i - 1];
    }
  }
}

TEST(GbnfGoldenTest, SameLanguagesAsAnEarleyParser) {
  std::ifstream file(QUERN_SOURCE_DIR "/tests/golden/grammar/gbnf.jsonl");
  ASSERT_TRUE(file.good());
  std::string line;
  std::getline(file, line);  // versions
  size_t n_cases = 0;
  while (std::getline(file, line)) {
    const auto parsed = parse_json(line);
    ASSERT_TRUE(parsed.ok());
    const Json& one = *parsed;
    const auto gbnf = one["gbnf"].get<std::string>();
    const auto built = from_gbnf(gbnf);
    ASSERT_TRUE(built.ok()) << gbnf << outcome(built);
    std::set<std::string> accepted;
    for (const Json& text : one["accepted"]) accepted.insert(text.get<std::string>());
    for_each_text(one["alphabet"].get<std::string>(), one["longest"].get<size_t>(),
                  [&](const std::string& text) {
                    EXPECT_EQ((*built)->matches(text), accepted.contains(text))
                        << gbnf << " <- " << text;
                  });
    ++n_cases;
  }
  EXPECT_EQ(n_cases, 14U);
}

}  // namespace
}  // namespace quern::grammar
