// `quern serve`: load a model, print what was decided, answer until SIGTERM or SIGINT.
#include <csignal>

#include "config/base/log.h"
#include "server/api/app/app.h"
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

api::AppOptions app_options(const options::Options& options, LogLevel log_level) {
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
  app.log = Log::to_stderr(log_level);
  return app;
}

void print_summary(const Process& process, const Session& session, const api::App& app,
                   const std::string& name) {
  process.out << "quern " << QUERN_VERSION << '\n';
  for (const std::string& line : summary_lines(session)) process.out << line << '\n';
  process.out << "  serving     \"" << name << "\" at";
  for (const std::string& url : app.urls()) process.out << ' ' << url;
  process.out << std::endl;
}

// Lets requests finish until the deadline or a second signal, whichever comes first.
int drain(const Process& process, const StopSignals& signals, Session& session, api::App& app,
          std::chrono::seconds timeout) {
  const engine::EngineStats stats = session.engine->stats();
  if (stats.running + stats.queued > 0) {
    process.out << "stopping: " << stats.running + stats.queued << " requests have "
                << timeout.count() << " s to finish; signal again to stop now" << std::endl;
  }
  const auto deadline = Clock::now() + timeout;
  bool finished = false;
  while (!finished && Clock::now() < deadline && !signals.again()) {
    finished = app.drain(std::min(deadline, Clock::now() + std::chrono::milliseconds(100)));
  }
  session.engine->drain(Clock::now());
  app.stop();
  process.out << (finished ? "stopped" : "stopped; unfinished requests were answered with an error")
              << std::endl;
  return kExitDone;
}

int serve(const Process& process, const OptionFlags& flags) {
  const auto resolved = flags.resolve(process);
  if (!resolved.ok()) return fail(process, resolved.error());
  const options::Options& options = resolved->options;
  const auto log_level = parse_log_level(options.log_level);
  if (!log_level.ok()) return fail(process, log_level.error());

  const StopSignals signals;  // before any thread is started, so that all inherit the mask
  SessionNeeds needs;
  needs.max_sequences = static_cast<int32_t>(options.max_sequences);
  needs.max_queued = static_cast<int32_t>(options.max_queued);
  needs.kv_bytes = static_cast<uint64_t>(options.kv_cache.count);
  if (options.prefix_cache.count > 0) {
    needs.prefix_cache_bytes = static_cast<uint64_t>(options.prefix_cache.count);
  }
  if (options.no_prefix_cache) needs.prefix_cache_bytes = 0;
  needs.page_directory = options.prefix_cache_dir;
  if (options.prefix_cache_bytes.count > 0) {
    needs.page_directory_bytes = static_cast<uint64_t>(options.prefix_cache_bytes.count);
  }
  needs.log = Log::to_stderr(*log_level);
  needs.max_queued_per_key = static_cast<int32_t>(options.max_queued_per_key);
  needs.max_gap_ms = options.max_gap_ms;
  auto session = open_session(process, options, needs);
  if (!session.ok()) return fail(process, session.error());

  api::ServedModel model = api::describe_model(*(*session)->engine, options.alias, options.model);
  const std::string name = model.id;
  auto app = api::App::create(app_options(options, *log_level), {std::move(model)});
  if (!app.ok()) return fail(process, app.error());
  if (const Status started = (*app)->start(); !started.ok()) {
    return fail(process, started.error());
  }
  print_summary(process, **session, **app, name);
  signals.wait();
  return drain(process, signals, **session, **app, std::chrono::seconds(options.drain_timeout));
}

}  // namespace

Action define_serve(CLI::App& app, const Process& process) {
  auto flags = std::make_shared<OptionFlags>(app, options::kServe);
  app.add_option_function<std::string>(
         "MODEL", [flags](const std::string& path) { flags->set("model", path); },
         "GGUF file; the same as --model")
      ->type_name("FILE");
  app.footer(
      "\nExamples:\n"
      "  quern serve                                the demo model on http://127.0.0.1:8080\n"
      "  quern serve model.gguf -c 8192 -p 16       16 sequences of up to 8192 tokens\n"
      "  quern serve model.gguf --port 11434        where Ollama's clients look for it\n"
      "  quern serve model.gguf --host 0.0.0.0 --api-key SECRET\n");
  return [flags, &process] { return serve(process, *flags); };
}

}  // namespace quern::cli
