// Options: precedence, ranges, messages, the configuration file.
#include "config/options/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace quern::options {
namespace {

using ::testing::HasSubstr;

TEST(Options, DefaultsAreTheTablesOwn) {
  const auto resolved = resolve({});
  ASSERT_TRUE(resolved.ok());
  EXPECT_EQ(resolved->options.host, "localhost");
  EXPECT_EQ(resolved->options.port, 8080);
  EXPECT_EQ(resolved->options.temperature, 0.8);
  EXPECT_EQ(resolved->options.insecure, false);
  EXPECT_EQ(resolved->origin.at("port"), "default");
}

TEST(Options, LaterSourcesWin) {
  Sources sources;
  sources.file_label = "quern.toml";
  sources.file = {{"port", "1"}, {"host", "::1"}, {"threads", "3"}};
  sources.environment = {{"port", "2"}, {"threads", "4"}};
  sources.flags = {{"port", "3"}};
  const auto resolved = resolve(sources);
  ASSERT_TRUE(resolved.ok()) << resolved.error().message();
  EXPECT_EQ(resolved->options.port, 3);
  EXPECT_EQ(resolved->options.threads, 4);
  EXPECT_EQ(resolved->options.host, "::1");
  EXPECT_EQ(resolved->origin.at("port"), "command line");
  EXPECT_EQ(resolved->origin.at("threads"), "environment");
  EXPECT_EQ(resolved->origin.at("host"), "file quern.toml");
}

TEST(Options, NamesAreUniqueAndDerived) {
  std::set<std::string_view> fields;
  std::set<char> letters;
  for (const OptionInfo& info : all_options()) {
    EXPECT_TRUE(fields.insert(info.field).second) << info.field;
    if (info.letter != 0) {
      EXPECT_TRUE(letters.insert(info.letter).second) << info.letter;
    }
    EXPECT_FALSE(info.help.empty());
    EXPECT_NE(info.commands, 0U);
  }
  const auto& infos = all_options();
  const auto it = std::find_if(infos.begin(), infos.end(),
                               [](const auto& info) { return info.field == "max_sequences"; });
  ASSERT_NE(it, infos.end());
  EXPECT_EQ(it->flag, "--max-sequences");
  EXPECT_EQ(it->variable, "QUERN_MAX_SEQUENCES");
  EXPECT_EQ(it->expected, "a whole number from 1 to 256");
}

struct BadValue {
  const char* field;
  const char* value;
  const char* expected;
};

class BadOption : public ::testing::TestWithParam<BadValue> {};

TEST_P(BadOption, NamesSourceOptionValueAndExpectation) {
  Sources sources;
  sources.flags = {{GetParam().field, GetParam().value}};
  const auto resolved = resolve(sources);
  ASSERT_FALSE(resolved.ok());
  EXPECT_EQ(resolved.error().kind(), ErrorKind::kInvalidInput);
  EXPECT_THAT(resolved.error().message(), HasSubstr("command line"));
  EXPECT_THAT(resolved.error().message(), HasSubstr(GetParam().field));
  EXPECT_THAT(resolved.error().message(), HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    Values, BadOption,
    ::testing::Values(BadValue{"port", "65536", "from 0 to 65535"},
                      BadValue{"port", "-1", "whole number"},
                      BadValue{"port", "80a", "whole number"}, BadValue{"port", "", "whole number"},
                      BadValue{"port", "99999999999999999999", "whole number"},
                      BadValue{"temperature", "nan", "a number from 0 to 100"},
                      BadValue{"temperature", "-0.5", "a number from 0 to 100"},
                      BadValue{"insecure", "maybe", "true or false"},
                      BadValue{"kv_cache", "lots", "8GiB"}, BadValue{"kv_format", "q7", "f32, f16"},
                      BadValue{"prot", "1", "did you mean \"port\""}));

TEST(Options, ListsAreSplitAtCommas) {
  Sources sources;
  sources.flags = {{"api_key", "one, two,,three"}};
  const auto resolved = resolve(sources);
  ASSERT_TRUE(resolved.ok());
  EXPECT_THAT(resolved->options.api_key, ::testing::ElementsAre("one", "two", "three"));
}

TEST(ConfigFile, TopLevelKeysBecomeSettings) {
  const auto settings = parse_config_file(
      "port = 9000\nhost = \"0.0.0.0\"\ntemperature = 0.5\ninsecure = true\n"
      "api_key = [\"a\", \"b\"]\n",
      "quern.toml");
  ASSERT_TRUE(settings.ok()) << settings.error().message();
  EXPECT_EQ(settings->at("port"), "9000");
  EXPECT_EQ(settings->at("host"), "0.0.0.0");
  EXPECT_EQ(settings->at("temperature"), "0.5");
  EXPECT_EQ(settings->at("insecure"), "true");
  EXPECT_EQ(settings->at("api_key"), "a,b");
}

TEST(ConfigFile, ErrorsNameTheLine) {
  const auto broken = parse_config_file("port = 1\nhost = \n", "quern.toml");
  ASSERT_FALSE(broken.ok());
  EXPECT_THAT(broken.error().message(), HasSubstr("quern.toml, line 2"));
  const auto table = parse_config_file("port = 1\n[server]\nhost = \"x\"\n", "quern.toml");
  ASSERT_FALSE(table.ok());
  EXPECT_THAT(table.error().message(), HasSubstr("\"server\""));
  EXPECT_THAT(table.error().message(), HasSubstr("line 2"));
}

// Releases of toml++ up to 3.4 have undefined behaviour on such characters elsewhere.
TEST(ConfigFile, CharactersOutsideAsciiStandInQuotesAndComments) {
  for (const char* text :
       {"host = \"caf\u00e9\"\n", "host = 'caf\u00e9' # \u00fc\nport = 1\n", "# \u00a7\n",
        "\xEF\xBB\xBFport = 1\n", "host = \"a\\\"\u00e9\\\\\" # \u00e9\n"}) {
    EXPECT_TRUE(parse_config_file(text, "quern.toml").ok()) << text;
  }
  for (const char* text :
       {"port = 1\nM\u01a9k", "port = 1\n\u00a7", "port = 1 \nhost = \"\"\"\u00a7\"\"\"\n",
        "port = 1\nhost = 'a\"\"\"\u00a7\n", "port = 1\nhost = \"a\\\\\"\u00a7\"\n",
        "port = 1\n\xCC\xAA", "port = 1\nhost =01'\u01a9c\n"}) {
    const auto refused = parse_config_file(text, "quern.toml");
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_THAT(refused.error().message(), HasSubstr("line 2"));
  }
}

TEST(Bytes, ParsesUnits) {
  EXPECT_EQ(*parse_bytes("8GiB"), int64_t{8} << 30);
  EXPECT_EQ(*parse_bytes("1.5 KiB"), 1536);
  EXPECT_EQ(*parse_bytes("2GB"), 2000000000);
  EXPECT_EQ(*parse_bytes("12"), 12);
  EXPECT_FALSE(parse_bytes("").ok());
  EXPECT_FALSE(parse_bytes("8 gibibytes").ok());
  EXPECT_FALSE(parse_bytes("-1GiB").ok());
  EXPECT_FALSE(parse_bytes("1e300GiB").ok());
}

TEST(Bytes, FormatsForPeople) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(uint64_t{24} << 30), "24.0 GiB");
}

}  // namespace
}  // namespace quern::options
