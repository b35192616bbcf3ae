#include "server/loadgen/report.h"

#include <array>
#include <cstdio>

namespace quern::loadgen {
namespace {

struct Line {
  const char* key;
  const char* label;
  const Histogram Tally::*times;
};
constexpr std::array<Line, 4> kLines = {{
    {"time_to_first_token_ms", "time to first token", &Tally::first_text},
    {"gap_ms", "gap between tokens", &Tally::gap},
    {"longest_gap_ms", "longest gap of a stream", &Tally::longest_gap},
    {"end_to_end_ms", "end to end", &Tally::end_to_end},
}};

struct Quantile {
  const char* name;
  double share;
};
constexpr std::array<Quantile, 5> kQuantiles = {
    {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1}}};

std::string text(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

std::string milliseconds(double seconds) { return text("%10.1f", seconds * 1e3); }

// Of the whole run: from its beginning to the end of its last request.
double per_second(uint64_t n, const Tally& tally) {
  return tally.last_end > 0 ? static_cast<double>(n) / tally.last_end : 0;
}

Json times_json(const Histogram& times) {
  if (times.count() == 0) return nullptr;
  Json out;
  out["count"] = times.count();
  out["mean"] = times.mean() * 1e3;
  for (const Quantile& q : kQuantiles) out[q.name] = times.quantile(q.share) * 1e3;
  return out;
}

std::string loop_text(const RunOptions& options) {
  if (options.rate <= 0) {
    return "closed loop of " + std::to_string(options.clients) +
           (options.clients == 1 ? " client" : " clients");
  }
  return text("open loop, %.4g requests/s, ", options.rate) +
         (options.arrivals == ArrivalKind::kPoisson ? "Poisson" : "fixed") + " arrivals";
}

Json loop_json(const RunOptions& options) {
  Json out;
  out["kind"] = options.rate > 0 ? "open" : "closed";
  if (options.rate > 0) {
    out["rate"] = options.rate;
    out["arrivals"] = options.arrivals == ArrivalKind::kPoisson ? "poisson" : "fixed";
    out["max_in_flight"] = options.max_in_flight;
  } else {
    out["clients"] = options.clients;
  }
  out["seed"] = options.seed;
  out["warm_up_requests"] = options.n_warm_up;
  return out;
}

}  // namespace

Json report_json(const RunOptions& options, const std::string& model, const Tally& tally) {
  Json out;
  out["url"] = options.target.url();
  out["model"] = model;
  out["loop"] = loop_json(options);
  out["seconds"] = tally.last_end;
  out["requests"] = {{"answered", tally.n_answered},
                     {"failed", tally.n_failed},
                     {"per_second", per_second(tally.n_answered, tally)},
                     {"started_late", tally.n_late},
                     {"latest_start_ms", tally.latest * 1e3}};
  out["failures"] = Json::object();
  for (const auto& [name, kind] : tally.failures) {
    out["failures"][name] = {{"count", kind.count}, {"first_message", kind.first_message}};
  }
  const bool knows_prompts = tally.n_with_usage > 0;
  out["tokens"] = {{"from", tally.tokens_from()},
                   {"completion", tally.completion_tokens},
                   {"pieces", tally.n_pieces},
                   {"completion_per_second", per_second(tally.completion_tokens, tally)},
                   {"prompt", knows_prompts ? Json(tally.prompt_tokens) : Json(nullptr)},
                   {"prompt_cached", knows_prompts ? Json(tally.cached_tokens) : Json(nullptr)}};
  for (const Line& line : kLines) out[line.key] = times_json(tally.*line.times);
  return out;
}

void print_report(std::ostream& out, const RunOptions& options, const std::string& model,
                  const Tally& tally) {
  out << options.target.url() << ", model \"" << model << "\", " << loop_text(options) << '\n';
  out << tally.n_answered << " answered" << text(" in %.2f s", tally.last_end)
      << text(" (%.2f/s), ", per_second(tally.n_answered, tally)) << tally.n_failed << " failed";
  if (options.rate > 0) {
    out << ", " << tally.n_late << " started late"
        << text(" (the latest %.1f ms after its time)", tally.latest * 1e3);
  }
  out << '\n';
  for (const auto& [name, kind] : tally.failures) {
    out << "  " << kind.count << " " << name << ", first: " << kind.first_message << '\n';
  }
  if (tally.n_answered == 0) return;
  out << tally.completion_tokens << " tokens (counted from " << tally.tokens_from() << ") in "
      << tally.n_pieces << " pieces"
      << text(", %.1f tokens/s in all", per_second(tally.completion_tokens, tally));
  if (tally.n_with_usage > 0) {
    out << "; " << tally.prompt_tokens << " tokens of prompts, " << tally.cached_tokens
        << " of them cached";
  }
  out << "\n\nms                            mean";
  for (const Quantile& q : kQuantiles) out << "       " << q.name;
  out << '\n';
  for (const Line& line : kLines) {
    const Histogram& times = tally.*line.times;
    std::string label = line.label;
    label.resize(24, ' ');
    out << label << milliseconds(times.mean());
    for (const Quantile& q : kQuantiles) out << milliseconds(times.quantile(q.share));
    out << '\n';
  }
}

}  // namespace quern::loadgen
