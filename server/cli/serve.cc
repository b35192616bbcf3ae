// `quern serve`: load a model, print what was decided, answer until SIGTERM or SIGINT.
#include <atomic>
#include <csignal>

#include "config/base/log.h"
#include "server/api/app/app.h"
#include "server/api/duration.h"
#include "server/api/served_model.h"
#include "server/cli/budget.h"
#include "server/cli/interrupt.h"
#include "server/cli/model_files.h"
#include "server/cli/option_flags.h"
#include "server/cli/session.h"

namespace quern::cli {
namespace {

using Clock = std::chrono::steady_clock;

// Signals that end the server, blocked in every thread so that the main thread can wait for them.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }

  void wait() const {
    int signal = 0;
    while (sigwait(&set_, &signal) != 0) {
    }
  }
  // Whether another one has arrived; does not wait.
  bool again() const {
    const timespec none{};
    return sigtimedwait(&set_, nullptr, &none) > 0;
  }

 private:
  sigset_t set_{};
};

Result<Log> open_log(const options::Options& options) {
  QUERN_ASSIGN_OR_RETURN(const LogLevel level, parse_log_level(options.log_level));
  QUERN_ASSIGN_OR_RETURN(const LogFormat format, parse_log_format(options.log_format));
  return Log::to_stderr(level, format);
}

Result<api::AppOptions> app_options(const options::Options& options, const Log& log) {
  api::AppOptions app;
  app.host = options.host;
  app.port = static_cast<int>(options.port);
  app.api_keys = options.api_key;
  app.allowed_hosts = options.allowed_hosts;
  app.allowed_origins = options.allowed_origins;
  app.insecure = options.insecure;
  app.version = QUERN_VERSION;
  app.request_timeout = std::chrono::seconds(options.request_timeout);
  app.overflow = *api::overflow_policy(options.context_overflow);  // checked by its option
  app.limits.max_connections = static_cast<int>(options.max_connections);
  app.log = log;
  app.manager.log = log;
  // As many as the engine would take.
  app.manager.max_waiting = static_cast<int32_t>(options.max_queued + options.max_sequences);
  app.manager.max_waiting_per_share = static_cast<int32_t>(options.max_queued_per_key);
  const auto keep_alive = api::parse_keep_alive_option(options.keep_alive);
  if (!keep_alive) {
    return Error(ErrorKind::kInvalidInput, "keep_alive is \"" + options.keep_alive +
                                               "\", expected a duration such as 5m or 1h30m, a "
                                               "number of seconds, or -1");
  }
  app.manager.keep_alive = *keep_alive;
  return app;
}

// What `serve` says of the models it loads: of the first, before it listens, on standard output
// with the address; of later ones in the log.
class LoadReporter {
 public:
  explicit LoadReporter(Log log) : log_(std::move(log)) {}

  void report(const std::string& id, const Result<const Session*>& loaded) {
    if (!loaded.ok()) {
      // At the start the error ends the program and is its last word.
      if (serving_)
        log_.error("the model '" + id + "' was not loaded: " + loaded.error().message());
      return;
    }
    std::vector<std::string> lines = summary_lines(**loaded);
    if (!serving_) {
      summary_ = std::move(lines);
      return;
    }
    log_.info("the model '" + id + "' was loaded");
    for (const std::string& line : lines) log_.info(line);
  }
  // From now on requests are answered.
  void begin_serving() { serving_ = true; }
  const std::vector<std::string>& summary() const { return summary_; }

 private:
  Log log_;
  std::vector<std::string> summary_;
  std::atomic<bool> serving_{false};
};

void print_summary(const Process& process, const LoadReporter& reporter,
                   const std::vector<std::string>& choice, const api::App& app) {
  process.out << "quern " << QUERN_VERSION << '\n';
  for (size_t i = 0; i < choice.size(); ++i) {
    process.out << (i == 0 ? "  budget      " : "              ") << choice[i] << '\n';
  }
  for (const std::string& line : reporter.summary()) process.out << line << '\n';
  const api::Catalogue& catalogue = app.catalogue();
  if (const size_t n = catalogue.models().size(); n > 1 || reporter.summary().empty()) {
    const uint64_t budget = catalogue.manager().budget_bytes();
    process.out << "  models      " << n
                << ", loaded when they are asked for; together they may take "
                << (budget == UINT64_MAX ? "what there is" : options::format_bytes(budget)) << '\n';
  }
  process.out << "  serving     ";
  for (size_t i = 0; i < catalogue.models().size(); ++i) {
    const api::ListedModel& model = catalogue.models()[i];
    process.out << (i > 0 ? ", \"" : "\"") << model.id << '"';
    for (const api::ListedAdapter& adapter : model.adapters) {
      process.out << ", \"" << model.adapter_id(adapter) << '"';
    }
  }
  process.out << " at";
  for (const std::string& url : app.urls()) process.out << ' ' << url;
  process.out << std::endl;
}

int64_t requests_left(const api::Catalogue& catalogue) {
  int64_t n = 0;
  for (size_t i = 0; i < catalogue.models().size(); ++i) {
    const engine::EngineStats stats = catalogue.counters(i);
    n += stats.running + stats.queued + catalogue.state(i).waiting;
  }
  return n;
}

// Lets requests finish until the deadline or a second signal, whichever comes first.
int drain(const Process& process, const StopSignals& signals, api::App& app,
          std::chrono::seconds timeout) {
  if (const int64_t left = requests_left(app.catalogue()); left > 0) {
    process.out << "stopping: " << left << " requests have " << timeout.count()
                << " s to finish; signal again to stop now" << std::endl;
  }
  const auto deadline = Clock::now() + timeout;
  bool finished = false;
  while (!finished && Clock::now() < deadline && !signals.again()) {
    finished = app.drain(std::min(deadline, Clock::now() + std::chrono::milliseconds(100)));
  }
  app.drain_models(Clock::now());
  app.stop();
  process.out << (finished ? "stopped" : "stopped; unfinished requests were answered with an error")
              << std::endl;
  return kExitDone;
}

SessionNeeds session_needs(const options::Options& options, const ModelChoice& choice,
                           const Log& log) {
  SessionNeeds needs;
  needs.max_sequences = static_cast<int32_t>(options.max_sequences);
  needs.max_queued = static_cast<int32_t>(options.max_queued);
  needs.kv_bytes = static_cast<uint64_t>(options.kv_cache.count);
  const bool several = choice.files.size() > 1;
  // So much that the context is the same whoever else is loaded, and so little that others can be.
  if (several && needs.kv_bytes == 0) needs.kv_bytes = choice.budget_bytes / 4;
  if (several) needs.turn = std::make_shared<engine::StepTurn>();
  needs.draft_for_all = !several;
  if (options.prefix_cache.count > 0) {
    needs.prefix_cache_bytes = static_cast<uint64_t>(options.prefix_cache.count);
  }
  if (options.no_prefix_cache) needs.prefix_cache_bytes = 0;
  needs.page_directory = options.prefix_cache_dir;
  if (options.prefix_cache_bytes.count > 0) {
    needs.page_directory_bytes = static_cast<uint64_t>(options.prefix_cache_bytes.count);
  }
  needs.log = log;
  needs.max_queued_per_key = static_cast<int32_t>(options.max_queued_per_key);
  needs.max_gap_ms = options.max_gap_ms;
  return needs;
}

// With --budget: the one file of `choice` that is to be served, put in its place.
Result<BudgetChoice> apply_budget(const Process& process, options::Options& options,
                                  ModelChoice& choice) {
  if (options.budget.count == 0) return BudgetChoice{};
  QUERN_ASSIGN_OR_RETURN(BudgetChoice chosen,
                         choose_for_budget(process, options, choice.files,
                                           static_cast<int32_t>(options.max_sequences)));
  // The name of a file that is kept is no name for a model.
  if (options.alias.empty()) options.alias = {api::model_id_from(chosen.name)};
  options.model = chosen.path;
  options.model_dir.clear();
  options.kv_cache.count = static_cast<int64_t>(chosen.kv_bytes);
  QUERN_ASSIGN_OR_RETURN(choice, choose_models(options, {}));
  return chosen;
}

int serve(const Process& process, const OptionFlags& flags, std::vector<std::string> files) {
  const auto resolved = flags.resolve(process);
  if (!resolved.ok()) return fail(process, resolved.error());
  options::Options options = resolved->options;
  // A --model beside other files is the first of them; one of the environment or a file makes
  // place.
  const bool both = !files.empty() && resolved->origin.at("model") == "command line";
  if (both) files.insert(files.begin(), options.model);
  const auto log = open_log(options);
  if (!log.ok()) return fail(process, log.error());
  auto app_settings = app_options(options, *log);
  if (!app_settings.ok()) return fail(process, app_settings.error());
  auto choice = choose_models(options, files);
  if (!choice.ok()) return fail(process, choice.error());
  const auto budget = apply_budget(process, options, *choice);
  if (!budget.ok()) {
    fail(process, budget.error());
    return budget.error().kind() == ErrorKind::kCancelled ? kExitInterrupted : kExitFailed;
  }
  app_settings->manager.budget_bytes = choice->budget_bytes;

  const StopSignals signals;  // before any thread is started, so that all inherit the mask
  LoadReporter reporter(*log);
  auto offers = offer_models(process, options, session_needs(options, *choice, *log), *choice,
                             [&](const std::string& id, const Result<const Session*>& loaded) {
                               reporter.report(id, loaded);
                             });
  if (!offers.ok()) return fail(process, offers.error());
  auto app = api::App::create(std::move(app_settings).value(), std::move(offers).value());
  if (!app.ok()) return fail(process, app.error());
  if (!options.no_preload && choice->n_named > 0) {
    if (const Status loaded = (*app)->preload(0); !loaded.ok()) {
      return fail(process, loaded.error());
    }
  }
  reporter.begin_serving();
  if (const Status started = (*app)->start(); !started.ok()) {
    return fail(process, started.error());
  }
  print_summary(process, reporter, budget->summary, **app);
  signals.wait();
  return drain(process, signals, **app, std::chrono::seconds(options.drain_timeout));
}

}  // namespace

Action define_serve(CLI::App& app, const Process& process) {
  auto flags = std::make_shared<OptionFlags>(app, options::kServe);
  auto files = std::make_shared<std::vector<std::string>>();
  app.add_option("MODEL", *files,
                 "GGUF files, after that of --model; the first is the default model")
      ->type_name("FILE");
  app.footer(
      "\nExamples:\n"
      "  quern serve                                the demo model on http://127.0.0.1:8080\n"
      "  quern serve model.gguf -c 8192 -p 16       16 sequences of up to 8192 tokens\n"
      "  quern serve model.gguf --port 11434        where Ollama's clients look for it\n"
      "  quern serve a.gguf b.gguf --keep-alive 5m  two models, each loaded when it is asked for\n"
      "  quern serve model.gguf --lora sql=sql-lora.gguf   also \"model:sql\", in the same batch\n"
      "  quern serve --model-dir ~/models           all that are there\n"
      "  quern serve m-f16.gguf --budget 8GiB       quantized as well as fits, once\n"
      "  quern serve model.gguf --host 0.0.0.0 --api-key SECRET\n");
  return [flags, files, &process] { return serve(process, *flags, *files); };
}

}  // namespace quern::cli
