// See routes.h.
#include "server/api/ops/routes.h"

#include <array>
#include <cstdio>

namespace quern::api::ops {
namespace {

struct EngineMetric {
  std::string_view name;
  std::string_view type;
  std::string_view help;
  uint64_t (*read)(const engine::EngineStats&);
};

constexpr std::array kEngineMetrics = {
    EngineMetric{"quern_requests_running", "gauge", "Sequences being computed.",
                 [](const engine::EngineStats& s) { return static_cast<uint64_t>(s.running); }},
    EngineMetric{"quern_requests_queued", "gauge", "Requests waiting for a place.",
                 [](const engine::EngineStats& s) { return static_cast<uint64_t>(s.queued); }},
    EngineMetric{
        "quern_kv_pages", "gauge", "Pages of the key-value cache.",
        [](const engine::EngineStats& s) { return static_cast<uint64_t>(s.kv_pages_total); }},
    EngineMetric{
        "quern_kv_pages_used", "gauge", "Pages in use.",
        [](const engine::EngineStats& s) { return static_cast<uint64_t>(s.kv_pages_used); }},
    EngineMetric{
        "quern_kv_pages_idle", "gauge", "Pages with finished prompts, free when needed.",
        [](const engine::EngineStats& s) { return static_cast<uint64_t>(s.kv_pages_idle); }},
    EngineMetric{"quern_kv_page_bytes", "gauge", "Size of a page of all layers.",
                 [](const engine::EngineStats& s) { return s.kv_page_bytes; }},
    EngineMetric{"quern_kv_pages_evicted_total", "counter", "Pages of finished prompts given up.",
                 [](const engine::EngineStats& s) { return s.kv_pages_evicted; }},
    EngineMetric{"quern_preemptions_total", "counter", "Requests that had to wait for pages again.",
                 [](const engine::EngineStats& s) { return s.preemptions; }},
    EngineMetric{"quern_prompt_tokens_cached_total", "counter", "Prompt tokens found computed.",
                 [](const engine::EngineStats& s) { return s.cached_tokens; }},
    EngineMetric{
        "quern_predicted_wait_milliseconds", "gauge", "Predicted wait of a request that comes now.",
        [](const engine::EngineStats& s) { return static_cast<uint64_t>(s.predicted_wait_ms); }},
    EngineMetric{"quern_disk_pages_restored_total", "counter", "Prompt pages read from disk.",
                 [](const engine::EngineStats& s) { return s.disk.pages_restored; }},
    EngineMetric{"quern_disk_pages_saved_total", "counter", "Prompt pages written to disk.",
                 [](const engine::EngineStats& s) { return s.disk.pages_saved; }},
    EngineMetric{"quern_disk_pages_damaged_total", "counter", "Files that failed their check.",
                 [](const engine::EngineStats& s) { return s.disk.pages_damaged; }},
    EngineMetric{"quern_disk_writes_failed_total", "counter", "Prompt pages that were not written.",
                 [](const engine::EngineStats& s) { return s.disk.writes_failed; }},
    EngineMetric{"quern_disk_bytes", "gauge", "What the prompt pages on disk take.",
                 [](const engine::EngineStats& s) { return s.disk.bytes; }},
    EngineMetric{"quern_requests_accepted_total", "counter", "Requests taken by the engine.",
                 [](const engine::EngineStats& s) { return s.requests_accepted; }},
    EngineMetric{"quern_requests_finished_total", "counter", "Requests answered in full.",
                 [](const engine::EngineStats& s) { return s.requests_finished; }},
    EngineMetric{"quern_requests_failed_total", "counter", "Requests that ended with an error.",
                 [](const engine::EngineStats& s) { return s.requests_failed; }},
    EngineMetric{"quern_requests_cancelled_total", "counter", "Requests whose client went away.",
                 [](const engine::EngineStats& s) { return s.requests_cancelled; }},
    EngineMetric{"quern_prompt_tokens_total", "counter", "Prompt tokens computed.",
                 [](const engine::EngineStats& s) { return s.prompt_tokens; }},
    EngineMetric{"quern_completion_tokens_total", "counter", "Tokens generated.",
                 [](const engine::EngineStats& s) { return s.completion_tokens; }},
    EngineMetric{"quern_speculated_tokens_total", "counter", "Tokens guessed ahead and checked.",
                 [](const engine::EngineStats& s) { return s.drafted_tokens; }},
    EngineMetric{"quern_speculated_tokens_accepted_total", "counter",
                 "Of those, tokens that were guessed right.",
                 [](const engine::EngineStats& s) { return s.accepted_tokens; }},
    EngineMetric{"quern_draft_kv_bytes", "gauge", "Keys and values of the draft model.",
                 [](const engine::EngineStats& s) { return s.draft_kv_bytes; }},
    EngineMetric{"quern_steps_total", "counter", "Runs of the model.",
                 [](const engine::EngineStats& s) { return s.steps; }},
};

// Tokens per second of the steps so far; 0 while there was none, or where nothing was predicted.
struct SpeedMetric {
  std::string_view name;
  std::string_view help;
  double (*read)(const engine::ModelSpeed&);
};

constexpr std::array kSpeedMetrics = {
    SpeedMetric{"quern_prefill_tokens_per_second", "Rate of steps that compute one prompt.",
                [](const engine::ModelSpeed& s) { return s.prefill.rate(); }},
    SpeedMetric{"quern_prefill_predicted_tokens_per_second", "What was predicted for these steps.",
                [](const engine::ModelSpeed& s) { return s.prefill.predicted_rate(); }},
    SpeedMetric{"quern_decode_tokens_per_second", "Rate of steps that only decode, all sequences.",
                [](const engine::ModelSpeed& s) { return s.decode.rate(); }},
    SpeedMetric{"quern_decode_predicted_tokens_per_second", "What was predicted for these steps.",
                [](const engine::ModelSpeed& s) { return s.decode.predicted_rate(); }},
};

void append_family(std::string& out, std::string_view name, std::string_view type,
                   std::string_view help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  out.append(name).append(" ").append(type).append("\n");
}

// Label values escape backslash, quote and line feed.
std::string label_value(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out.push_back('\\');
    if (c != '\n') out.push_back(c);
  }
  return out;
}

std::string decimal(double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), "%.3f", value);
  return buffer;
}

void append_plain(std::string& out, std::string_view name, std::string_view type,
                  std::string_view help, uint64_t value) {
  append_family(out, name, type, help);
  out.append(name).append(" ").append(std::to_string(value)).append("\n");
}

}  // namespace

std::string metrics_text(const Catalogue& catalogue, const http::ServerCounters& counters) {
  std::string out;
  for (const EngineMetric& metric : kEngineMetrics) {
    append_family(out, metric.name, metric.type, metric.help);
    for (const ServedModel& model : catalogue.models) {
      out.append(metric.name).append("{model=\"").append(label_value(model.id)).append("\"} ");
      out.append(std::to_string(metric.read(model.engine->stats()))).append("\n");
    }
  }
  for (const SpeedMetric& metric : kSpeedMetrics) {
    append_family(out, metric.name, "gauge", metric.help);
    for (const ServedModel& model : catalogue.models) {
      out.append(metric.name).append("{model=\"").append(label_value(model.id)).append("\"} ");
      out.append(decimal(metric.read(model.engine->stats().speed))).append("\n");
    }
  }
  append_plain(out, "quern_http_connections", "gauge", "Open connections.",
               static_cast<uint64_t>(counters.open));
  append_plain(out, "quern_http_requests_busy", "gauge", "HTTP requests being answered.",
               static_cast<uint64_t>(counters.busy));
  append_plain(out, "quern_http_connections_total", "counter", "Connections accepted.",
               counters.accepted);
  append_plain(out, "quern_http_refused_total", "counter", "Answers 503 for lack of room.",
               counters.refused);
  return out;
}

void add_routes(http::Router& router, OpsState state) {
  const auto health = [state](http::Exchange& exchange) {
    if (state.draining->load()) {
      exchange.send({503, "application/json", R"({"status":"draining"})", {{"retry-after", "1"}}});
    } else {
      exchange.send({200, "application/json", R"({"status":"ok"})", {}});
    }
  };
  for (const char* path : {"/health", "/v1/health"}) {
    router.add({"GET", path, health, /*needs_key=*/false, /*quick=*/true});
  }
  router.add({"GET", "/metrics",
              [state](http::Exchange& exchange) {
                exchange.send({200,
                               "text/plain; version=0.0.4; charset=utf-8",
                               metrics_text(*state.catalogue, state.counters()),
                               {}});
              },
              /*needs_key=*/true, /*quick=*/true});
}

}  // namespace quern::api::ops
