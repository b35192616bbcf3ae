// Schemas against the verdicts of the jsonschema package and the official test suite
// (tests/golden/grammar/make_schema_golden.py).
//
// Sound without exception: what a compiled schema permits is valid. Valid instances may be left out
// only where json_schema.h says so.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/engine/grammar/grammar_fixture.h"

namespace quern::grammar {
namespace {

struct Totals {
  size_t schemas = 0;
  size_t compiled = 0;
  size_t invalid = 0;
  size_t valid = 0;
  size_t valid_permitted = 0;
};

void check(const Json& one, Totals& totals) {
  const auto source = one["source"].get<std::string>();
  ++totals.schemas;
  const auto built = from_schema(one["schema"]);
  if (!built.ok()) {
    EXPECT_NE(source, "own") << dump_json(one["schema"]) << outcome(built);
    EXPECT_FALSE(built.error().message().empty());
    return;
  }
  ++totals.compiled;
  for (const Json& test : one["tests"]) {
    const auto text = test[0].get<std::string>();
    const bool permitted = (*built)->matches(text);
    if (test[1] == false) {
      ++totals.invalid;
      EXPECT_FALSE(permitted) << source << ": " << dump_json(one["schema"]) << " <- " << text;
      continue;
    }
    ++totals.valid;
    totals.valid_permitted += permitted ? 1 : 0;
    if (!permitted && source == "own") std::cout << "left out: " << text << "\n";
  }
}

TEST(SchemaGoldenTest, PermitsOnlyWhatIsValid) {
  std::ifstream file(QUERN_SOURCE_DIR "/tests/golden/grammar/schemas.jsonl");
  ASSERT_TRUE(file.good());
  std::string line;
  std::getline(file, line);  // versions
  Totals own;
  Totals suite;
  while (std::getline(file, line)) {
    const auto parsed = parse_json(line);
    ASSERT_TRUE(parsed.ok()) << line.substr(0, 200);
    check(*parsed, (*parsed)["source"] == "own" ? own : suite);
  }
  EXPECT_EQ(own.compiled, own.schemas);
  EXPECT_GT(own.invalid, 1500U);
  std::cout << "own: " << own.valid_permitted << " of " << own.valid << " valid permitted, "
            << own.invalid << " invalid refused; suite: " << suite.compiled << " of "
            << suite.schemas << " schemas compiled, " << suite.valid_permitted << " of "
            << suite.valid << " valid permitted, " << suite.invalid << " invalid refused\n";
}

}  // namespace
}  // namespace quern::grammar
