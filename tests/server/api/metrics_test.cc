// /metrics under a strict reader: form, names, histograms that add up, counts that survive
// unloading.
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "engine/types/histogram.h"
#include "server/api/app/app.h"
#include "server/api/model_counters.h"
#include "server/api/ops/exposition.h"
#include "tests/server/fakes/fake_engine.h"
#include "tests/server/support/exposition_parser.h"
#include "tests/server/support/raw_client.h"

namespace quern::api {
namespace {

TEST(Histogram, CountsUpToEachBound) {
  engine::GapHistogram histogram;
  for (const double value : {0.0, 0.001, 0.0011, 5.0, 5.1, 1e9}) histogram.observe(value);
  EXPECT_EQ(histogram.counts().front(), 2U);  // a bound belongs to its bucket
  EXPECT_EQ(histogram.counts()[1], 1U);
  EXPECT_EQ(histogram.counts()[histogram.bounds().size() - 1], 1U);
  EXPECT_EQ(histogram.counts().back(), 2U);
  EXPECT_DOUBLE_EQ(histogram.sum(), 0.0021 + 10.1 + 1e9);
}

TEST(Exposition, IsReadAsItWasMeant) {
  ops::Exposition out;
  const std::string hostile = "a\\b\"c\nd{e=\"f\"} 7";
  const std::array<ops::Label, 1> labels = {ops::Label{"model", hostile}};
  out.family("x_total", "counter", "Some.");
  out.sample(labels, 12345678901234);
  out.family("y", "gauge", "More.");
  out.sample({}, 0.1);
  engine::CountHistogram histogram;
  histogram.observe(7);
  histogram.observe(70);
  out.family("z", "histogram", "Most.");
  out.histogram(labels, histogram.bounds(), histogram.counts(), histogram.sum());
  const std::string text = out.take();
  auto metrics = tests::parse_exposition(text);
  ASSERT_TRUE(metrics.ok()) << metrics.error().message() << "\n" << text;
  const tests::MetricLabels by_model = {{"model", hostile}};
  EXPECT_EQ(metrics->at("x_total").samples.at({"x_total", by_model}), 12345678901234);
  EXPECT_EQ(metrics->at("y").samples.at({"y", {}}), 0.1);
  const auto& z = metrics->at("z").samples;
  EXPECT_EQ(z.at({"z_bucket", {{"model", hostile}, {"le", "10"}}}), 1);
  EXPECT_EQ(z.at({"z_bucket", {{"model", hostile}, {"le", "100"}}}), 2);
  EXPECT_EQ(z.at({"z_sum", by_model}), 77);
  EXPECT_EQ(z.at({"z_count", by_model}), 2);
}

// The reader itself must not be easy to please.
TEST(Exposition, TheReaderRefusesWhatIsWrong) {
  const std::string good = "# HELP a_total h\n# TYPE a_total counter\na_total{m=\"x\"} 1\n";
  EXPECT_TRUE(tests::parse_exposition(good).ok());
  for (const char* bad : {
           "a_total 1\n",
           "# HELP a_total h\n# TYPE a_total counter\na_total 1",
           "# HELP a_total h\n# TYPE a_total counter\n",
           "# HELP a_total h\n# TYPE a_total counter\na_total 1\na_total 1\n",
           "# HELP a h\n# TYPE a counter\na 1\n",
           "# HELP a_total h\n# TYPE a_total gauge\na_total 1\n",
           "# HELP a h\n# TYPE a gauge\nb 1\n",
           "# HELP a h\n# TYPE a gauge\na{x=\"\\t\"} 1\n",
           "# HELP a h\n# TYPE a gauge\na{x=\"1\" 1\n",
           "# HELP a h\n# TYPE a gauge\na{1=\"1\"} 1\n",
           "# HELP a h\n# TYPE a gauge\na one\n",
           "# HELP a h\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
           "# HELP a h\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum "
           "1\n"
           "a_count 1\n",
           "# HELP a h\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\n",
       }) {
    EXPECT_FALSE(tests::parse_exposition(bad).ok()) << bad;
  }
}

// Sets every counter, so that one that a sum forgets shows.
engine::EngineStats stats_of(uint64_t n) {
  engine::EngineStats stats;
  stats.running = 3;
  stats.requests_accepted = stats.requests_finished = stats.requests_failed = n;
  stats.requests_cancelled = stats.prompt_tokens = stats.cached_tokens = n;
  stats.completion_tokens = stats.steps = stats.preemptions = stats.kv_pages_evicted = n;
  stats.drafted_tokens = stats.accepted_tokens = n;
  stats.disk = {n, n, n, n, n};
  for (uint64_t i = 0; i < n; ++i) {
    engine::LatencyStats& latency = stats.latency;
    latency.token_gap_s.observe(1);
    for (auto* one : {&latency.time_to_first_token_s, &latency.queue_s, &latency.total_s}) {
      one->observe(1);
    }
    for (auto* one : {&latency.prefill_rate, &latency.decode_rate, &latency.prompt_tokens,
                      &latency.completion_tokens}) {
      one->observe(1);
    }
  }
  return stats;
}

TEST(ModelCounters, CountersAreSummedAndGaugesAreNot) {
  engine::EngineStats sum = stats_of(2);
  add_counters(sum, stats_of(5));
  const engine::EngineStats expected = stats_of(7);
  EXPECT_EQ(sum.running, 3);
  EXPECT_EQ(sum.disk.bytes, 2U);
  for (const auto member :
       {&engine::EngineStats::requests_accepted, &engine::EngineStats::requests_finished,
        &engine::EngineStats::requests_failed, &engine::EngineStats::requests_cancelled,
        &engine::EngineStats::prompt_tokens, &engine::EngineStats::cached_tokens,
        &engine::EngineStats::completion_tokens, &engine::EngineStats::steps,
        &engine::EngineStats::preemptions, &engine::EngineStats::kv_pages_evicted,
        &engine::EngineStats::drafted_tokens, &engine::EngineStats::accepted_tokens}) {
    EXPECT_EQ(sum.*member, expected.*member);
  }
  EXPECT_EQ(sum.disk.pages_saved, 7U);
  EXPECT_EQ(sum.latency.token_gap_s.sum(), 7);
  EXPECT_EQ(sum.latency.time_to_first_token_s.sum(), 7);
  EXPECT_EQ(sum.latency.queue_s.sum(), 7);
  EXPECT_EQ(sum.latency.total_s.sum(), 7);
  EXPECT_EQ(sum.latency.decode_rate.sum(), 7);
  EXPECT_EQ(sum.latency.prefill_rate.sum(), 7);
  EXPECT_EQ(sum.latency.prompt_tokens.sum(), 7);
  EXPECT_EQ(sum.latency.completion_tokens.sum(), 7);
}

TEST(Metrics, AreWellFormedAndOutliveUnloading) {
  tests::FakeModel first;
  tests::FakeModel second;
  ServedModel other = second.served();
  other.id = "odd \"name\"\\";
  AppOptions options;
  options.port = 0;
  auto app = App::create(options, {first.served(), other});
  ASSERT_TRUE(app.ok()) << app.error().message();
  ASSERT_TRUE((*app)->start().ok());
  const int port = (*app)->port();
  const auto read = [&] {
    const tests::RawResponse response = tests::get(port, "/metrics");
    EXPECT_EQ(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    auto parsed = tests::parse_exposition(response.body);
    EXPECT_TRUE(parsed.ok()) << parsed.error().message() << "\n" << response.body;
    return parsed.ok() ? std::move(*parsed) : tests::Metrics();
  };
  const auto value = [](const tests::Metrics& metrics, const std::string& name,
                        const std::string& model) {
    return metrics.at(name).samples.at({name, {{"model", model}}});
  };
  EXPECT_EQ(tests::post_json(port, "/v1/completions", R"({"prompt":"x"})").status, 200);
  tests::Metrics metrics = read();
  EXPECT_EQ(value(metrics, "quern_requests_accepted_total", "tiny"), 1);
  EXPECT_EQ(value(metrics, "quern_requests_accepted_total", other.id), 0);
  EXPECT_EQ(value(metrics, "quern_model_loaded", "tiny"), 1);
  EXPECT_EQ(metrics.at("quern_models_loaded").samples.at({"quern_models_loaded", {}}), 2);
  EXPECT_TRUE(metrics.contains("quern_inter_token_latency_seconds"));
  tests::post_json(port, "/api/generate", R"({"model":"tiny","keep_alive":0})");
  for (int i = 0; i < 1000 && value(read(), "quern_model_loaded", "tiny") > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  metrics = read();
  EXPECT_EQ(value(metrics, "quern_model_loaded", "tiny"), 0);
  EXPECT_EQ(value(metrics, "quern_model_unloads_total", "tiny"), 1);
  EXPECT_EQ(value(metrics, "quern_requests_accepted_total", "tiny"), 1);
}

// What somebody who runs the server is promised to find, in the form in which it can be used.
TEST(Metrics, TellWhatADashboardNeeds) {
  tests::FakeModel model;
  engine::SpeculationStats speculation;
  speculation.on = true;
  speculation.sequences = 3;
  speculation.acceptance[1] = 0.25;
  speculation.acceptance[4] = 0.75;
  model.engine.set({.speculation = speculation});
  AppOptions options;
  options.port = 0;
  auto app = App::create(options, {model.served()});
  ASSERT_TRUE(app.ok()) << app.error().message();
  ASSERT_TRUE((*app)->start().ok());
  const auto parsed = tests::parse_exposition(tests::get((*app)->port(), "/metrics").body);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  const std::pair<const char*, const char*> kPromised[] = {
      {"quern_time_to_first_token_seconds", "histogram"},
      {"quern_inter_token_latency_seconds", "histogram"},
      {"quern_request_queue_time_seconds", "histogram"},
      {"quern_request_prefill_tokens_per_second", "histogram"},
      {"quern_request_decode_tokens_per_second", "histogram"},
      {"quern_prefill_tokens_per_second", "gauge"},
      {"quern_prefill_predicted_tokens_per_second", "gauge"},
      {"quern_decode_tokens_per_second", "gauge"},
      {"quern_decode_predicted_tokens_per_second", "gauge"},
      {"quern_kv_pages", "gauge"},
      {"quern_kv_pages_used", "gauge"},
      {"quern_kv_pages_idle", "gauge"},
      {"quern_kv_pages_evicted_total", "counter"},
      {"quern_prompt_tokens_total", "counter"},
      {"quern_prompt_tokens_cached_total", "counter"},
      {"quern_preemptions_total", "counter"},
      {"quern_speculation_enabled", "gauge"},
      {"quern_speculation_requests", "gauge"},
      {"quern_speculation_acceptance_ratio", "gauge"},
      {"quern_speculated_tokens_total", "counter"},
      {"quern_speculated_tokens_accepted_total", "counter"},
  };
  for (const auto& [name, type] : kPromised) {
    ASSERT_TRUE(parsed->contains(name)) << name;
    EXPECT_EQ(parsed->at(name).type, type) << name;
    EXPECT_TRUE(parsed->at(name).help.ends_with(".")) << name;
    for (const auto& [sample, value] : parsed->at(name).samples) {
      EXPECT_EQ(sample.second.at("model"), "tiny") << name;
    }
  }
  // Of what was never checked nothing is told.
  const auto& acceptance = parsed->at("quern_speculation_acceptance_ratio").samples;
  const auto rate = [&](const char* source) {
    return acceptance.at(
        {"quern_speculation_acceptance_ratio", {{"model", "tiny"}, {"source", source}}});
  };
  EXPECT_EQ(acceptance.size(), 2U);
  EXPECT_EQ(rate("match_2"), 0.25);
  EXPECT_EQ(rate("draft_model"), 0.75);
}

}  // namespace
}  // namespace quern::api
