#include "server/cli/bench_serve.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include "server/loadgen/fetch.h"
#include "server/loadgen/report.h"

namespace quern::cli {
namespace {

using loadgen::Lengths;

constexpr uint64_t kMostRequests = 1'000'000;
// Fields that the other options decide.
constexpr std::array kOwnFields = {"model",      "prompt", "messages",
                                   "max_tokens", "stream", "stream_options"};

struct Arguments {
  std::string url;
  loadgen::RunOptions run;
  std::string arrivals = "poisson";
  std::string prompt_words = "32";
  std::string max_tokens = "64";
  std::string prompt_file;
  std::string model;
  std::string extra = "{}";
  bool chat = false;
  bool no_usage = false;
  bool json = false;
  CLI::Option* n_requests = nullptr;
};

Result<Json> parse_extra(const std::string& text) {
  QUERN_ASSIGN_OR_RETURN(Json extra, parse_json(text));
  if (!extra.is_object()) {
    return Error(ErrorKind::kInvalidInput,
                 "it is no JSON object; give one like {\"temperature\": 0}");
  }
  for (const char* name : kOwnFields) {
    if (!extra.contains(name)) continue;
    return Error(ErrorKind::kInvalidInput,
                 std::string("\"") + name + "\" is decided by another option; leave it out");
  }
  return extra;
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in) {
    return Error(ErrorKind::kNotFound,
                 "cannot read the prompts from " + path + "; check the path given with --prompts");
  }
  return text.str();
}

Result<loadgen::Workload> make_workload(const Arguments& arguments, bool chat) {
  loadgen::WorkloadOptions options;
  options.chat = chat;
  options.ask_usage = !arguments.no_usage;
  options.seed = arguments.run.seed;
  QUERN_ASSIGN_OR_RETURN(options.prompt_words,
                         Lengths::parse(arguments.prompt_words, "--prompt-words"));
  QUERN_ASSIGN_OR_RETURN(options.max_tokens, Lengths::parse(arguments.max_tokens, "--max-tokens"));
  auto extra = parse_extra(arguments.extra);
  if (!extra.ok()) return extra.error().with_context("--extra");
  options.extra = std::move(*extra);
  loadgen::Workload workload(std::move(options));
  if (!arguments.prompt_file.empty()) {
    QUERN_ASSIGN_OR_RETURN(const std::string text, read_file(arguments.prompt_file));
    QUERN_RETURN_IF_ERROR(workload.take_prompts(text, arguments.prompt_file));
  }
  return workload;
}

// Options that make sense only together.
Status check(const Arguments& arguments) {
  const loadgen::RunOptions& run = arguments.run;
  if (run.rate > 0 && run.duration > 0 &&
      run.rate * run.duration > static_cast<double>(kMostRequests)) {
    return Error(ErrorKind::kInvalidInput, "--rate and --duration make more than " +
                                               std::to_string(kMostRequests) +
                                               " requests; lower one of them");
  }
  const bool plain =
      std::all_of(run.key.begin(), run.key.end(), [](char c) { return c > ' ' && c < 127; });
  if (!plain) {
    return Error(ErrorKind::kInvalidInput,
                 "the API key holds a space or a character that no header can carry");
  }
  return ok_status();
}

loadgen::OnProgress progress_on(const Process& process) {
  if (!process.err_is_terminal) return {};
  return [&process](const loadgen::RunProgress& progress) {
    std::string line = (progress.warm_up ? "warm-up: " : "") + std::to_string(progress.ended) +
                       " ended, " + std::to_string(progress.in_flight) + " in progress";
    line.resize(60, ' ');
    process.err << '\r' << line << std::flush;
  };
}

Result<int> bench_serve(const Process& process, const Arguments& arguments) {
  QUERN_RETURN_IF_ERROR(check(arguments));
  loadgen::RunOptions run = arguments.run;
  run.arrivals =
      arguments.arrivals == "fixed" ? loadgen::ArrivalKind::kFixed : loadgen::ArrivalKind::kPoisson;
  // A duration alone is not cut short by the default number of requests.
  if (run.duration > 0 && arguments.n_requests->count() == 0) run.n_requests = kMostRequests;
  if (run.key.empty()) {
    const auto variable = process.environment.find("api_key");
    if (variable != process.environment.end()) {
      run.key = variable->second.substr(0, variable->second.find(','));
    }
  }
  QUERN_ASSIGN_OR_RETURN(run.target, loadgen::parse_target(arguments.url, arguments.chat));
  // What can be wrong here is told before the server is asked.
  QUERN_ASSIGN_OR_RETURN(auto workload, make_workload(arguments, run.target.chat));
  QUERN_ASSIGN_OR_RETURN(const auto destination,
                         http::Destination::look_up(run.target.host, run.target.port));
  std::string model = arguments.model;
  if (model.empty()) {
    QUERN_ASSIGN_OR_RETURN(model, loadgen::first_model(run.target, destination, run.key));
  }
  workload.set_model(model);
  const loadgen::Tally tally = run_load(run, destination, workload, progress_on(process));
  if (process.err_is_terminal) process.err << '\r' << std::string(60, ' ') << '\r' << std::flush;
  if (arguments.json) {
    process.out << dump_json(loadgen::report_json(run, model, tally), 2) << '\n';
  } else {
    loadgen::print_report(process.out, run, model, tally);
  }
  process.out.flush();
  return tally.n_answered > 0 ? kExitDone : kExitFailed;
}

void define_loop(CLI::App& app, Arguments& arguments) {
  loadgen::RunOptions& run = arguments.run;
  auto* clients = app.add_option("-c,--clients", run.clients,
                                 "closed loop: clients, each with one request at a time [1]");
  clients->check(CLI::Range(1, 4096));
  auto* rate = app.add_option("-r,--rate", run.rate,
                              "open loop: requests per second, whatever the server does");
  rate->check(CLI::Range(0.001, 100000.0))->excludes(clients);
  app.add_option("--arrivals", arguments.arrivals, "open loop: poisson or fixed [poisson]")
      ->check(CLI::IsMember({"poisson", "fixed"}))
      ->needs(rate);
  app.add_option("--max-in-flight", run.max_in_flight,
                 "open loop: requests at once at most; more start late [512]")
      ->check(CLI::Range(1, 65536))
      ->needs(rate);
  arguments.n_requests = app.add_option("-n,--requests", run.n_requests, "requests to make [100]");
  arguments.n_requests->check(CLI::Range(uint64_t{1}, kMostRequests));
  app.add_option("--duration", run.duration, "start no request after so many seconds")
      ->check(CLI::Range(0.1, 86400.0));
  app.add_option("--warm-up", run.n_warm_up, "requests before, not counted [0]")
      ->check(CLI::Range(uint64_t{0}, kMostRequests));
  app.add_option("--timeout", run.timeout, "seconds a request may take [600]")
      ->check(CLI::Range(0.1, 86400.0));
  app.add_option("--seed", run.seed, "of prompts, lengths and arrivals [0]");
}

void define_requests(CLI::App& app, Arguments& arguments) {
  app.add_option("--prompt-words", arguments.prompt_words,
                 "words of each prompt: 32, 16-512 or several with commas between [32]");
  app.add_option("--max-tokens", arguments.max_tokens,
                 "tokens of each answer at most, in the same form [64]");
  app.add_option("--prompts", arguments.prompt_file,
                 "prompts from a file, a JSON string or object a line")
      ->type_name("FILE");
  app.add_flag("--chat", arguments.chat, "use /v1/chat/completions");
  app.add_option("--model", arguments.model, "name of the model [the first one it lists]");
  app.add_option("--api-key", arguments.run.key, "sent as bearer token [QUERN_API_KEY]");
  app.add_option("--extra", arguments.extra, "further fields of each request, a JSON object")
      ->type_name("JSON");
  app.add_flag("--no-usage", arguments.no_usage,
               "do not ask for usage, for servers that refuse stream_options");
  app.add_flag("--json", arguments.json, "print the report as JSON");
}

}  // namespace

Action define_bench_serve(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("URL", arguments->url, "http://HOST[:PORT], or the whole URL of an endpoint")
      ->required();
  define_loop(app, *arguments);
  define_requests(app, *arguments);
  app.footer(
      "\nExamples:\n"
      "  quern bench serve http://127.0.0.1:8080 -c 16 -n 64\n"
      "  quern bench serve http://127.0.0.1:8080 --rate 2 --duration 60 --warm-up 8\n"
      "  quern bench serve http://127.0.0.1:8080 --chat --prompt-words 16-512 --max-tokens 32,256\n"
      "  quern bench serve http://127.0.0.1:8080 --prompts prompts.jsonl --extra "
      "'{\"temperature\": 0}'\n"
      "\nWorks with any server that streams /v1/completions or /v1/chat/completions, and talks to\n"
      "no other host. Latencies are measured from the moment a request was to start; in an open\n"
      "loop that moment does not depend on the server, and requests that started late are "
      "counted.\n"
      "Tokens are counted from the server's usage where it sends one, else by pieces of text.\n"
      "Ends with 1 when no request was answered.\n");
  return [arguments, &process] {
    const auto code = bench_serve(process, *arguments);
    return code.ok() ? *code : fail(process, code.error());
  };
}

}  // namespace quern::cli
