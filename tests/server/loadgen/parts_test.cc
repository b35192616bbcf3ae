// Targets, lengths, arrivals and bodies: what is decided before anything is sent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "server/loadgen/schedule.h"
#include "server/loadgen/target.h"
#include "server/loadgen/workload.h"

namespace quern::loadgen {
namespace {

using ::testing::HasSubstr;

TEST(Target, TakesUrlsApart) {
  const auto plain = parse_target("http://127.0.0.1:8080", false);
  ASSERT_TRUE(plain.ok()) << plain.error().message();
  EXPECT_EQ(plain->host, "127.0.0.1");
  EXPECT_EQ(plain->port, 8080);
  EXPECT_EQ(plain->authority, "127.0.0.1:8080");
  EXPECT_EQ(plain->path, "/v1/completions");
  EXPECT_EQ(plain->models_path, "/v1/models");
  EXPECT_EQ(parse_target("http://host/", true)->path, "/v1/chat/completions");
  EXPECT_EQ(parse_target("http://host", false)->port, 80);
  EXPECT_EQ(parse_target("http://host/api/v1", false)->path, "/api/v1/completions");
  EXPECT_EQ(parse_target("http://host/api", false)->path, "/api/v1/completions");
  const auto six = parse_target("http://[::1]:99/v1/chat/completions", false);
  ASSERT_TRUE(six.ok());
  EXPECT_EQ(six->host, "::1");
  EXPECT_EQ(six->port, 99);
  EXPECT_TRUE(six->chat) << "the path says so";
  EXPECT_EQ(six->models_path, "/v1/models");
}

TEST(Target, RefusesWhatItCannotMean) {
  for (const char* url :
       {"", "127.0.0.1:8080", "ftp://host", "http://", "http://:80", "http://host:0",
        "http://host:65536", "http://host:8o", "http://[::1", "http://[::1]x", "http://me@host",
        "http://host/v1?x=1", "http://host/a b", "http://host/\r\nX: y"}) {
    EXPECT_FALSE(parse_target(url, false).ok()) << url;
  }
  EXPECT_THAT(parse_target("https://host", false).error().message(), HasSubstr("TLS"));
  EXPECT_FALSE(parse_target("http://host/v1/completions", true).ok());
}

TEST(Lengths, AreFixedUniformOrFromAList) {
  Draws draws(1, 2);
  EXPECT_EQ(Lengths::parse("32", "x")->draw(draws), 32);
  const auto range = Lengths::parse("3-5", "x");
  const auto list = Lengths::parse("7,100-101", "x");
  std::set<int64_t> from_range;
  std::set<int64_t> from_list;
  for (int i = 0; i < 200; ++i) {
    from_range.insert(range->draw(draws));
    from_list.insert(list->draw(draws));
  }
  EXPECT_EQ(from_range, (std::set<int64_t>{3, 4, 5}));
  EXPECT_EQ(from_list, (std::set<int64_t>{7, 100, 101}));
}

TEST(Lengths, RefuseWhatIsNone) {
  for (const char* text : {"", "0", "-1", "1-", "5-3", "1,,2", "a", "1.5", "1048577", "1-2-3",
                           "99999999999999999999"}) {
    const auto parsed = Lengths::parse(text, "--max-tokens");
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(parsed.error().message(), HasSubstr("--max-tokens"));
  }
}

TEST(Schedule, FixedArrivalsDoNotDrift) {
  Schedule schedule(ArrivalKind::kFixed, 10, 1);
  for (int i = 0; i < 100000; ++i) schedule.advance();
  EXPECT_DOUBLE_EQ(schedule.next(), 10000);
}

TEST(Schedule, PoissonArrivalsHaveTheRateAndSpreadOfTheirKind) {
  constexpr int kArrivals = 20000;
  Schedule schedule(ArrivalKind::kPoisson, 4, 7);
  Schedule again(ArrivalKind::kPoisson, 4, 7);
  double last = 0;
  double squares = 0;
  for (int i = 0; i < kArrivals; ++i) {
    ASSERT_EQ(schedule.next(), again.next());
    const double gap = schedule.next() - last;
    ASSERT_GE(gap, 0);
    squares += gap * gap;
    last = schedule.next();
    schedule.advance();
    again.advance();
  }
  EXPECT_NEAR(last / kArrivals, 0.25, 0.25 * 0.03);
  // Of an exponential distribution: twice the square of the mean.
  EXPECT_NEAR(squares / kArrivals, 2 * 0.25 * 0.25, 2 * 0.25 * 0.25 * 0.06);
}

WorkloadOptions options(const char* words = "5", const char* tokens = "9") {
  WorkloadOptions out;
  out.prompt_words = *Lengths::parse(words, "words");
  out.max_tokens = *Lengths::parse(tokens, "tokens");
  return out;
}

Json body(const Workload& workload, uint64_t number) {
  auto parsed = parse_json(workload.body(number));
  EXPECT_TRUE(parsed.ok());
  return parsed.ok() ? std::move(*parsed) : Json();
}

TEST(Workload, BodiesAreAFunctionOfSeedAndNumber) {
  Workload first(options("8-64", "4-40"));
  Workload same(options("8-64", "4-40"));
  WorkloadOptions seeded = options("8-64", "4-40");
  seeded.seed = 1;
  Workload other(seeded);
  std::set<std::string> prompts;
  for (uint64_t i = 0; i < 200; ++i) {
    EXPECT_EQ(first.body(i), same.body(i));
    EXPECT_NE(first.body(i), other.body(i));
    prompts.insert(body(first, i)["prompt"].get<std::string>().substr(0, 30));
  }
  EXPECT_EQ(prompts.size(), 200U) << "a prompt could be answered from another's cache";
}

TEST(Workload, AsksForAStreamAndItsUsage) {
  Workload workload(options());
  workload.set_model("m");
  const Json plain = body(workload, 0);
  EXPECT_EQ(plain["model"], "m");
  EXPECT_EQ(plain["max_tokens"], 9);
  EXPECT_EQ(plain["stream"], true);
  EXPECT_EQ(plain["stream_options"]["include_usage"], true);
  const auto prompt = plain["prompt"].get<std::string>();
  EXPECT_EQ(std::count(prompt.begin(), prompt.end(), ' '), 4) << prompt;
  WorkloadOptions more = options();
  more.chat = true;
  more.ask_usage = false;
  more.extra = {{"temperature", 0}};
  const Json chat = body(Workload(more), 0);
  EXPECT_EQ(chat["messages"][0]["role"], "user");
  EXPECT_EQ(chat["messages"][0]["content"], prompt);
  EXPECT_EQ(chat["temperature"], 0);
  EXPECT_FALSE(chat.contains("stream_options"));
  EXPECT_FALSE(chat.contains("prompt"));
}

TEST(Workload, TakesPromptsFromAFile) {
  WorkloadOptions chat = options();
  chat.chat = true;
  Workload workload(chat);
  ASSERT_TRUE(workload
                  .take_prompts("\"one\"\r\n\n{\"prompt\": \"two\", \"max_tokens\": 3}\n"
                                "{\"messages\": [{\"role\": \"user\", \"content\": \"three\"}]}",
                                "f")
                  .ok());
  EXPECT_EQ(body(workload, 0)["messages"][0]["content"], "one");
  EXPECT_EQ(body(workload, 1)["messages"][0]["content"], "two");
  EXPECT_EQ(body(workload, 1)["max_tokens"], 3);
  EXPECT_EQ(body(workload, 2)["messages"][0]["content"], "three");
  EXPECT_EQ(body(workload, 3)["messages"][0]["content"], "one") << "in turn";
}

TEST(Workload, SaysWhichLineOfAFileIsWrong) {
  const auto message = [](const char* text) {
    const Status taken = Workload(options()).take_prompts(text, "f.jsonl");
    return taken.ok() ? std::string("fine") : taken.error().message();
  };
  EXPECT_THAT(message("\"a\"\n{\"promt\": \"b\"}"), HasSubstr("f.jsonl, line 2: \"promt\""));
  EXPECT_THAT(message("{\"prompt\": \"b\", \"max_tokens\": 0}"), HasSubstr("max_tokens"));
  EXPECT_THAT(message("{\"prompt\": 3}"), HasSubstr("\"prompt\""));
  EXPECT_THAT(message("{}"), HasSubstr("no prompt"));
  EXPECT_THAT(message("[1]"), HasSubstr("no prompt"));
  EXPECT_THAT(message("not json"), HasSubstr("line 1"));
  EXPECT_THAT(message("{\"messages\": []}"), HasSubstr("--chat"));
  EXPECT_THAT(message(" \n"), HasSubstr("holds no prompt"));
}

}  // namespace
}  // namespace quern::loadgen
