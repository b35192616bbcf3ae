// Tables of constants: one line per metric.
#include "server/api/ops/metrics.h"

#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include "server/api/ops/exposition.h"

namespace quern::api::ops {
namespace {

using engine::EngineStats;
using engine::LatencyStats;
using engine::ModelState;

template <typename Source>
struct Metric {
  std::string_view name;
  std::string_view type;
  std::string_view help;
  double (*read)(const Source&);
};

template <typename T>
double real(T value) {
  return static_cast<double>(value);
}

constexpr std::string_view kGauge = "gauge";
constexpr std::string_view kCounter = "counter";

// Per model. Counters go on when a model is unloaded and loaded again.
constexpr std::array<Metric<EngineStats>, 31> kEngineMetrics = {{
    {"quern_requests_running", kGauge, "Sequences being computed.",
     [](const EngineStats& s) { return real(s.running); }},
    {"quern_requests_queued", kGauge, "Requests waiting for a place.",
     [](const EngineStats& s) { return real(s.queued); }},
    {"quern_kv_pages", kGauge, "Pages of the key-value cache.",
     [](const EngineStats& s) { return real(s.kv_pages_total); }},
    {"quern_kv_pages_used", kGauge, "Pages in use.",
     [](const EngineStats& s) { return real(s.kv_pages_used); }},
    {"quern_kv_pages_idle", kGauge, "Pages with finished prompts, free when needed.",
     [](const EngineStats& s) { return real(s.kv_pages_idle); }},
    {"quern_kv_page_bytes", kGauge, "Size of a page of all layers.",
     [](const EngineStats& s) { return real(s.kv_page_bytes); }},
    {"quern_kv_pages_evicted_total", kCounter, "Pages of finished prompts given up.",
     [](const EngineStats& s) { return real(s.kv_pages_evicted); }},
    {"quern_preemptions_total", kCounter, "Requests that had to wait for pages again.",
     [](const EngineStats& s) { return real(s.preemptions); }},
    {"quern_prompt_tokens_cached_total", kCounter, "Prompt tokens found computed.",
     [](const EngineStats& s) { return real(s.cached_tokens); }},
    {"quern_predicted_wait_seconds", kGauge, "Predicted wait of a request that comes now.",
     [](const EngineStats& s) { return s.predicted_wait_ms / 1e3; }},
    {"quern_disk_pages_restored_total", kCounter, "Prompt pages read from disk.",
     [](const EngineStats& s) { return real(s.disk.pages_restored); }},
    {"quern_disk_pages_saved_total", kCounter, "Prompt pages written to disk.",
     [](const EngineStats& s) { return real(s.disk.pages_saved); }},
    {"quern_disk_pages_damaged_total", kCounter, "Files that failed their check.",
     [](const EngineStats& s) { return real(s.disk.pages_damaged); }},
    {"quern_disk_writes_failed_total", kCounter, "Prompt pages that were not written.",
     [](const EngineStats& s) { return real(s.disk.writes_failed); }},
    {"quern_disk_bytes", kGauge, "What the prompt pages on disk take.",
     [](const EngineStats& s) { return real(s.disk.bytes); }},
    {"quern_requests_accepted_total", kCounter, "Requests taken by the engine.",
     [](const EngineStats& s) { return real(s.requests_accepted); }},
    {"quern_requests_finished_total", kCounter, "Requests answered in full.",
     [](const EngineStats& s) { return real(s.requests_finished); }},
    {"quern_requests_failed_total", kCounter, "Requests that ended with an error.",
     [](const EngineStats& s) { return real(s.requests_failed); }},
    {"quern_requests_cancelled_total", kCounter, "Requests whose client went away.",
     [](const EngineStats& s) { return real(s.requests_cancelled); }},
    {"quern_prompt_tokens_total", kCounter, "Prompt tokens computed.",
     [](const EngineStats& s) { return real(s.prompt_tokens); }},
    {"quern_completion_tokens_total", kCounter, "Tokens generated.",
     [](const EngineStats& s) { return real(s.completion_tokens); }},
    {"quern_steps_total", kCounter, "Runs of the model.",
     [](const EngineStats& s) { return real(s.steps); }},
    {"quern_speculated_tokens_total", kCounter, "Tokens guessed ahead and checked.",
     [](const EngineStats& s) { return real(s.drafted_tokens); }},
    {"quern_speculated_tokens_accepted_total", kCounter,
     "Of those, tokens that were guessed right.",
     [](const EngineStats& s) { return real(s.accepted_tokens); }},
    {"quern_speculation_enabled", kGauge, "1 where tokens are guessed ahead while that pays.",
     [](const EngineStats& s) { return s.speculation.on ? 1.0 : 0.0; }},
    {"quern_speculation_requests", kGauge,
     "Sequences that the last step checked guesses of; 0 where none pays.",
     [](const EngineStats& s) { return real(s.speculation.sequences); }},
    {"quern_draft_kv_bytes", kGauge, "Keys and values of the draft model.",
     [](const EngineStats& s) { return real(s.draft_kv_bytes); }},
    // Tokens per second of the steps so far; 0 while there was none, or where nothing was
    // predicted.
    {"quern_prefill_tokens_per_second", kGauge, "Rate of steps that compute one prompt.",
     [](const EngineStats& s) { return s.speed.prefill.rate(); }},
    {"quern_prefill_predicted_tokens_per_second", kGauge, "What was predicted for these steps.",
     [](const EngineStats& s) { return s.speed.prefill.predicted_rate(); }},
    {"quern_decode_tokens_per_second", kGauge, "Rate of steps that only decode, all sequences.",
     [](const EngineStats& s) { return s.speed.decode.rate(); }},
    {"quern_decode_predicted_tokens_per_second", kGauge, "What was predicted for these steps.",
     [](const EngineStats& s) { return s.speed.decode.predicted_rate(); }},
}};

// Per model, whether it is loaded or not.
constexpr std::array<Metric<ModelState>, 7> kModelMetrics = {{
    {"quern_model_loaded", kGauge, "1 while the model is loaded.",
     [](const ModelState& s) { return s.loaded ? 1.0 : 0.0; }},
    {"quern_model_bytes", kGauge, "Memory that the model takes, or would take if it were loaded.",
     [](const ModelState& s) { return real(s.bytes); }},
    {"quern_model_requests_waiting", kGauge, "Requests waiting for the model to be loaded.",
     [](const ModelState& s) { return real(s.waiting); }},
    {"quern_model_last_load_seconds", kGauge, "How long the last load took.",
     [](const ModelState& s) { return s.last_load_s; }},
    {"quern_model_loads_total", kCounter, "Times the model was loaded.",
     [](const ModelState& s) { return real(s.loads); }},
    {"quern_model_load_failures_total", kCounter, "Times loading it failed.",
     [](const ModelState& s) { return real(s.load_failures); }},
    {"quern_model_unloads_total", kCounter, "Times the model was unloaded.",
     [](const ModelState& s) { return real(s.unloads); }},
}};

template <auto kMember>
void write_histogram(Exposition& out, Labels labels, const LatencyStats& stats) {
  const auto& histogram = stats.*kMember;
  out.histogram(labels, histogram.bounds(), histogram.counts(), histogram.sum());
}

struct HistogramMetric {
  std::string_view name;
  std::string_view help;
  void (*write)(Exposition& out, Labels labels, const LatencyStats& stats);
};

constexpr std::array<HistogramMetric, 8> kHistograms = {{
    {"quern_time_to_first_token_seconds", "From taking a request to its first token.",
     write_histogram<&LatencyStats::time_to_first_token_s>},
    {"quern_inter_token_latency_seconds", "From one token of an answer to the next.",
     write_histogram<&LatencyStats::token_gap_s>},
    {"quern_request_queue_time_seconds", "From taking a request to its first step.",
     write_histogram<&LatencyStats::queue_s>},
    {"quern_e2e_request_latency_seconds", "From taking a request to its end.",
     write_histogram<&LatencyStats::total_s>},
    {"quern_request_prefill_tokens_per_second", "Prompt tokens computed per second of a request.",
     write_histogram<&LatencyStats::prefill_rate>},
    {"quern_request_decode_tokens_per_second", "Tokens per second after the first of a request.",
     write_histogram<&LatencyStats::decode_rate>},
    {"quern_request_prompt_tokens", "Tokens of a request's prompt.",
     write_histogram<&LatencyStats::prompt_tokens>},
    {"quern_request_generation_tokens", "Tokens of a request's answer.",
     write_histogram<&LatencyStats::completion_tokens>},
}};

struct ServerMetric {
  const http::ServerCounters& http;
  const engine::ModelManager& models;
  size_t n_loaded;
};

// Of the process.
constexpr std::array<Metric<ServerMetric>, 7> kServerMetrics = {{
    {"quern_models_loaded", kGauge, "Models loaded now.",
     [](const ServerMetric& s) { return real(s.n_loaded); }},
    {"quern_model_memory_used_bytes", kGauge, "Memory of all loaded models.",
     [](const ServerMetric& s) { return real(s.models.used_bytes()); }},
    {"quern_model_memory_limit_bytes", kGauge,
     "What all loaded models may take; +Inf when that is not limited.",
     [](const ServerMetric& s) {
       const uint64_t budget = s.models.budget_bytes();
       return budget == UINT64_MAX ? HUGE_VAL : real(budget);
     }},
    {"quern_http_connections", kGauge, "Open connections.",
     [](const ServerMetric& s) { return real(s.http.open); }},
    {"quern_http_requests_busy", kGauge, "HTTP requests being answered.",
     [](const ServerMetric& s) { return real(s.http.busy); }},
    {"quern_http_connections_total", kCounter, "Connections accepted.",
     [](const ServerMetric& s) { return real(s.http.accepted); }},
    {"quern_http_refused_total", kCounter, "Answers 503 for lack of room.",
     [](const ServerMetric& s) { return real(s.http.refused); }},
}};

// One model's figures, read at one moment.
struct ModelFigures {
  std::string id;
  EngineStats stats;
  ModelState state;

  std::array<Label, 1> labels() const { return {Label{"model", id}}; }
};

// One sample per source of guesses that have been checked; no family without a sample.
void write_acceptance(Exposition& out, const std::vector<ModelFigures>& models) {
  bool begun = false;
  for (const ModelFigures& one : models) {
    for (size_t i = 0; i < engine::kGuessSources.size(); ++i) {
      const std::optional<double>& rate = one.stats.speculation.acceptance[i];
      if (!rate) continue;
      if (!begun) {
        out.family("quern_speculation_acceptance_ratio", kGauge,
                   "Probability that a guessed token comes true, as measured lately, by the source "
                   "of the guess: what decides whether guessing pays.");
      }
      begun = true;
      const std::array<Label, 2> labels = {Label{"model", one.id},
                                           Label{"source", engine::kGuessSources[i]}};
      out.sample(labels, *rate);
    }
  }
}

void write_models(Exposition& out, const std::vector<ModelFigures>& models) {
  for (const auto& metric : kEngineMetrics) {
    out.family(metric.name, metric.type, metric.help);
    for (const ModelFigures& one : models) out.sample(one.labels(), metric.read(one.stats));
  }
  write_acceptance(out, models);
  for (const HistogramMetric& metric : kHistograms) {
    out.family(metric.name, "histogram", metric.help);
    for (const ModelFigures& one : models) metric.write(out, one.labels(), one.stats.latency);
  }
  for (const auto& metric : kModelMetrics) {
    out.family(metric.name, metric.type, metric.help);
    for (const ModelFigures& one : models) out.sample(one.labels(), metric.read(one.state));
  }
}

}  // namespace

std::string metrics_text(const Catalogue& catalogue, const http::ServerCounters& counters) {
  std::vector<ModelFigures> models;
  size_t n_loaded = 0;
  for (size_t i = 0; i < catalogue.models().size(); ++i) {
    models.push_back({catalogue.models()[i].id, catalogue.counters(i), catalogue.state(i)});
    n_loaded += models.back().state.loaded ? 1 : 0;
  }
  Exposition out;
  out.family("quern_build_info", kGauge, "1; the labels say what runs.");
  const std::array<Label, 1> build = {Label{"version", catalogue.version()}};
  out.sample(build, 1);
  write_models(out, models);
  const ServerMetric server{counters, catalogue.manager(), n_loaded};
  for (const auto& metric : kServerMetrics) {
    out.family(metric.name, metric.type, metric.help);
    out.sample({}, metric.read(server));
  }
  return out.take();
}

}  // namespace quern::api::ops
