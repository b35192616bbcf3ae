// `quern run`: one prompt, the answer to standard output as it is made.
#include <unistd.h>

#include <iostream>
#include <iterator>
#include <random>

#include "engine/run/speed_meter.h"
#include "engine/sample/stages.h"
#include "server/cli/budget.h"
#include "server/cli/interrupt.h"
#include "server/cli/option_flags.h"
#include "server/cli/session.h"

namespace quern::cli {
namespace {

struct RunArguments {
  RunArguments(CLI::App& app, options::Command command) : flags(app, command) {}
  OptionFlags flags;
  std::string prompt;
  CLI::Option* prompt_option = nullptr;
};

// A seed that the user did not choose; drawn once and shown with --verbose.
uint64_t fresh_seed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 31) ^ device();
}

Result<engine::SamplingParams> sampling_from(const options::Options& options) {
  engine::SamplingParams sampling;
  sampling.temperature = static_cast<float>(options.temperature);
  sampling.top_k = static_cast<int32_t>(options.top_k);
  sampling.top_p = static_cast<float>(options.top_p);
  sampling.min_p = static_cast<float>(options.min_p);
  sampling.typical_p = static_cast<float>(options.typical_p);
  sampling.repetition_penalty = static_cast<float>(options.repetition_penalty);
  sampling.presence_penalty = static_cast<float>(options.presence_penalty);
  sampling.frequency_penalty = static_cast<float>(options.frequency_penalty);
  sampling.penalty_window = static_cast<int32_t>(options.repeat_last_n);
  sampling.top_n_sigma = static_cast<float>(options.top_n_sigma);
  sampling.dry_multiplier = static_cast<float>(options.dry_multiplier);
  sampling.dry_base = static_cast<float>(options.dry_base);
  sampling.dry_allowed_length = static_cast<int32_t>(options.dry_allowed_length);
  sampling.dry_window = static_cast<int32_t>(options.dry_penalty_last_n);
  sampling.dry_breakers = options.dry_sequence_breakers;
  sampling.xtc_probability = static_cast<float>(options.xtc_probability);
  sampling.xtc_threshold = static_cast<float>(options.xtc_threshold);
  sampling.dynatemp_range = static_cast<float>(options.dynatemp_range);
  sampling.dynatemp_exponent = static_cast<float>(options.dynatemp_exponent);
  sampling.mirostat = static_cast<int32_t>(options.mirostat);
  sampling.mirostat_tau = static_cast<float>(options.mirostat_tau);
  sampling.mirostat_eta = static_cast<float>(options.mirostat_eta);
  QUERN_ASSIGN_OR_RETURN(sampling.stages, engine::stages_of_names(options.samplers));
  sampling.seed = options.seed < 0 ? fresh_seed() : static_cast<uint64_t>(options.seed);
  return sampling;
}

// The prompt's tokens: plain text after BOS, or one chat turn through the model's template.
Result<std::vector<engine::TokenId>> prompt_tokens(const loader::Model& model,
                                                   const std::string& prompt, bool chat) {
  const tokenizer::Tokenizer& tokenizer = model.tokenizer();
  const auto bos = tokenizer.special().add_bos ? tokenizer.special().bos : std::nullopt;
  std::vector<tokenizer::TextPart> parts;
  std::vector<chat::PromptSegment> segments;
  if (chat) {
    chat::RenderInput input;
    input.messages = Json::array({{{"role", "user"}, {"content", prompt}}});
    if (tokenizer.special().bos) input.bos_token = tokenizer.text(*tokenizer.special().bos);
    if (tokenizer.special().eos) input.eos_token = tokenizer.text(*tokenizer.special().eos);
    QUERN_ASSIGN_OR_RETURN(segments, model.chat_template().render(input));
  } else {
    segments.push_back({prompt, true});
  }
  for (const chat::PromptSegment& segment : segments) {
    parts.push_back({segment.text, segment.from_user ? tokenizer::SpecialParsing::kText
                                                     : tokenizer::SpecialParsing::kParse});
  }
  QUERN_ASSIGN_OR_RETURN(std::vector<engine::TokenId> tokens, tokenizer.encode_parts(parts));
  if (bos && (tokens.empty() || tokens.front() != *bos)) tokens.insert(tokens.begin(), *bos);
  return tokens;
}

std::string speeds(const engine::Event& event) {
  const auto rate = [](int64_t tokens, int64_t ns) {
    return ns > 0 ? std::to_string(static_cast<int64_t>(static_cast<double>(tokens) * 1e9 /
                                                        static_cast<double>(ns)))
                  : std::string("-");
  };
  const engine::Usage& usage = event.usage;
  return "prompt " + std::to_string(usage.prompt_tokens) + " tokens at " +
         rate(usage.prompt_tokens, event.timings.prefill_ns) + " tokens/s, answer " +
         std::to_string(usage.completion_tokens) + " tokens at " +
         rate(usage.completion_tokens - 1, event.timings.decode_ns) + " tokens/s";
}

Status print_answer(const Process& process, engine::Stream& stream, bool verbose) {
  while (true) {
    const std::optional<engine::Event> event = stream.next(std::chrono::milliseconds(1000));
    if (!event) continue;
    switch (event->kind) {
      case engine::Event::Kind::kText:
        process.out << event->text << std::flush;
        break;
      case engine::Event::Kind::kFinished:
        process.out << std::endl;
        if (verbose) process.err << speeds(*event) << std::endl;
        return ok_status();
      case engine::Event::Kind::kFailed:
        process.out << std::endl;
        return *event->error;
    }
    if (!process.out) {
      return Error(ErrorKind::kIo, "standard output was closed; the answer was cut short");
    }
  }
}

Status run(const Process& process, const RunArguments& arguments) {
  QUERN_ASSIGN_OR_RETURN(const options::Resolved resolved, arguments.flags.resolve(process));
  options::Options options = resolved.options;
  std::string prompt = arguments.prompt;
  if (arguments.prompt_option->count() == 0) {
    if (isatty(STDIN_FILENO) == 1) {
      return Error(ErrorKind::kInvalidInput,
                   "no prompt: give one as an argument (\"\" starts from nothing) or through "
                   "standard input");
    }
    prompt.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  BudgetChoice budget;
  if (options.budget.count > 0) {
    QUERN_ASSIGN_OR_RETURN(budget, choose_for_budget(process, options, {options.model}, 1));
    for (const std::string& line : budget.summary) process.err << "note: " << line << std::endl;
    options.model = budget.path;
  }
  SessionNeeds needs;
  needs.kv_bytes = budget.kv_bytes;
  QUERN_ASSIGN_OR_RETURN(const auto session, open_session(process, options, needs));
  if (options.verbose) {
    for (const std::string& line : summary_lines(*session)) process.err << line << '\n';
  }
  engine::Request request;
  request.id = "run";
  QUERN_ASSIGN_OR_RETURN(request.sampling, sampling_from(options));
  for (const AdapterChoice& choice : session->adapter_choices) {
    request.adapters.push_back({static_cast<int32_t>(request.adapters.size()), choice.scale});
  }
  request.max_tokens = options.max_tokens;
  request.stop = options.stop;
  QUERN_ASSIGN_OR_RETURN(request.prompt, prompt_tokens(*session->model, prompt, options.chat));
  if (options.verbose) process.err << "seed " << request.sampling.seed << std::endl;
  QUERN_ASSIGN_OR_RETURN(const auto stream, session->engine->submit(std::move(request)));
  QUERN_RETURN_IF_ERROR(print_answer(process, *stream, options.verbose));
  if (options.verbose) {
    const engine::ModelSpeed speed = session->engine->stats().speed;
    for (const std::string& line : {engine::speed_text("prefill", speed.prefill),
                                    engine::speed_text("decode", speed.decode)}) {
      if (!line.empty()) process.err << line << std::endl;
    }
  }
  return ok_status();
}

}  // namespace

Action define_run(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<RunArguments>(app, options::kRun);
  arguments->prompt_option =
      app.add_option("PROMPT", arguments->prompt, "text to continue; standard input when absent");
  app.footer(
      "\nExamples:\n"
      "  quern run --chat \"Tell me a story.\"            the demo model, tales5m\n"
      "  quern run -m stories260k --temperature 0 \"\"   a smaller one, from nothing\n"
      "  quern run -m model.gguf --chat \"Why is the sky blue?\"\n"
      "  quern run -m model.gguf --lora adapter.gguf:0.8 \"SELECT\"\n"
      "  quern run -m model.gguf -n 100 < prompt.txt\n");
  return [arguments, &process] {
    const Status done = run(process, *arguments);
    if (done.ok()) return kExitDone;
    fail(process, done.error());
    return done.error().kind() == ErrorKind::kCancelled ? kExitInterrupted : kExitFailed;
  };
}

}  // namespace quern::cli
