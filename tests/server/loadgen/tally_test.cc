// Sums and quantiles of known outcomes, and what the reports make of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "server/loadgen/report.h"

namespace quern::loadgen {
namespace {

using ::testing::HasSubstr;

TEST(Histogram, QuantilesOfKnownValues) {
  Histogram times;
  EXPECT_EQ(times.quantile(0.5), 0);
  for (int i = 1000; i >= 1; --i) times.add(i * 1e-3);
  EXPECT_EQ(times.count(), 1000U);
  EXPECT_NEAR(times.mean(), 0.5005, 1e-9);
  EXPECT_EQ(times.least(), 1e-3);
  EXPECT_EQ(times.most(), 1.0);
  for (const double share : {0.001, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999}) {
    EXPECT_NEAR(times.quantile(share), share, 0.006 * share) << share;
  }
  EXPECT_EQ(times.quantile(1), 1.0);
  EXPECT_EQ(times.quantile(0), times.quantile(0.001));
}

TEST(Histogram, OneValueIsItsOwnQuantile) {
  Histogram times;
  times.add(0.0123);
  for (const double share : {0.0, 0.5, 1.0}) EXPECT_EQ(times.quantile(share), 0.0123);
}

TEST(Histogram, ExtremesStayInside) {
  Histogram times;
  times.add(0);
  times.add(-1);
  times.add(1e9);
  EXPECT_EQ(times.least(), 0);
  EXPECT_LE(times.quantile(0.5), 1e-6);
  EXPECT_EQ(times.quantile(1), 1e9);
}

Outcome answered(double intended, double started, double first, double ended,
                 std::vector<float> gaps) {
  Outcome out;
  out.intended = intended;
  out.started = started;
  out.first = first;
  out.ended = ended;
  out.n_pieces = static_cast<int64_t>(gaps.size()) + 1;
  out.gaps = std::move(gaps);
  return out;
}

Tally known() {
  Tally tally;
  Outcome one = answered(1, 1, 1.5, 3, {0.25F, 0.5F});
  one.usage = StreamUsage{10, 4, 6};
  tally.add(one);
  tally.add(answered(2, 2.5, 3, 4, {0.125F}));
  Outcome failed;
  failed.intended = 3;
  failed.started = 3;
  failed.ended = 8;
  failed.failure = Failure::kStatus;
  failed.status = 429;
  failed.message = "slow down";
  tally.add(failed);
  failed.message = "again";
  tally.add(failed);
  return tally;
}

TEST(Tally, CountsFromTheIntendedStart) {
  const Tally tally = known();
  EXPECT_EQ(tally.n_answered, 2U);
  EXPECT_EQ(tally.n_failed, 2U);
  EXPECT_EQ(tally.failures.at("http_429").count, 2U);
  EXPECT_EQ(tally.failures.at("http_429").first_message, "slow down");
  EXPECT_EQ(tally.n_late, 1U);
  EXPECT_DOUBLE_EQ(tally.latest, 0.5);
  EXPECT_DOUBLE_EQ(tally.first_text.most(), 1.0) << "3 - 2, not 3 - 2.5";
  EXPECT_DOUBLE_EQ(tally.end_to_end.least(), 2.0);
  EXPECT_EQ(tally.gap.count(), 3U);
  EXPECT_DOUBLE_EQ(tally.longest_gap.least(), 0.125);
  EXPECT_DOUBLE_EQ(tally.longest_gap.most(), 0.5);
  EXPECT_EQ(tally.completion_tokens, 4U + 2U);
  EXPECT_EQ(tally.n_pieces, 5U);
  EXPECT_EQ(tally.prompt_tokens, 10U);
  EXPECT_EQ(tally.tokens_from(), "both");
  EXPECT_DOUBLE_EQ(tally.last_end, 8);
}

TEST(Report, JsonHoldsTheFigures) {
  RunOptions options;
  options.rate = 2;
  const Json report = report_json(options, "m", known());
  EXPECT_EQ(report["loop"]["kind"], "open");
  EXPECT_EQ(report["requests"]["answered"], 2);
  EXPECT_EQ(report["requests"]["started_late"], 1);
  EXPECT_EQ(report["failures"]["http_429"]["count"], 2);
  EXPECT_EQ(report["tokens"]["from"], "both");
  EXPECT_DOUBLE_EQ(report["tokens"]["completion_per_second"].get<double>(), 6.0 / 8);
  EXPECT_DOUBLE_EQ(report["gap_ms"]["max"].get<double>(), 500);
  EXPECT_DOUBLE_EQ(report["time_to_first_token_ms"]["mean"].get<double>(), 750);
  const Json none = report_json(options, "m", Tally());
  EXPECT_TRUE(none["gap_ms"].is_null());
  EXPECT_TRUE(none["tokens"]["prompt"].is_null());
}

TEST(Report, TheTableSaysWhereTokensComeFrom) {
  RunOptions options;
  options.clients = 3;
  std::ostringstream out;
  print_report(out, options, "m", known());
  EXPECT_THAT(out.str(), HasSubstr("closed loop of 3 clients"));
  EXPECT_THAT(out.str(), HasSubstr("2 http_429, first: slow down"));
  EXPECT_THAT(out.str(), HasSubstr("6 tokens (counted from both) in 5 pieces"));
  EXPECT_THAT(out.str(), HasSubstr("longest gap of a stream"));
}

}  // namespace
}  // namespace quern::loadgen
