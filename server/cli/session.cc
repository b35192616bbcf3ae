#include "server/cli/session.h"

#include <chrono>
#include <cstdio>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_devices.h"
#include "models/graph/weights.h"
#include "models/loader/embedded_model.h"

namespace quern::cli {
namespace {

using Clock = std::chrono::steady_clock;

hardware::LoadedProfile read_profile(const Process& process) {
  const auto path = hardware::profile_path(process.config_home);
  if (path.ok()) return hardware::load_profile(*path);
  return {hardware::probe_hardware(), "not measured yet: " + path.error().message()};
}

Result<std::unique_ptr<backend::Backend>> open_backend(const options::Options& options,
                                                       const hardware::HardwareProfile& profile) {
  if (options.device == "cuda") {
    QUERN_ASSIGN_OR_RETURN(const auto devices, cuda::cuda_devices());
    return Error(ErrorKind::kUnsupported,
                 devices.empty()
                     ? "device cuda was asked for, but the driver shows no CUDA device; check "
                       "CUDA_VISIBLE_DEVICES, or use --device cpu"
                     : "device cuda was asked for and there is " + devices.front().name +
                           ", but this version has no CUDA kernels yet; use --device cpu");
  }
  return cpu::create_cpu_backend({profile, static_cast<int>(options.threads), options.kernel,
                                  options.isa, cpu::pinning_of(options.pin)});
}

std::string field(std::string_view name, const std::string& value) {
  std::string line = "  " + std::string(name);
  line.resize(std::max<size_t>(line.size() + 1, 14), ' ');
  return line + value;
}

std::string count_text(uint64_t n) {
  char buffer[32];
  if (n >= 1000000000) {
    std::snprintf(buffer, sizeof(buffer), "%.2f B", static_cast<double>(n) / 1e9);
  } else if (n >= 1000000) {
    std::snprintf(buffer, sizeof(buffer), "%.1f M", static_cast<double>(n) / 1e6);
  } else {
    std::snprintf(buffer, sizeof(buffer), "%.0f K", static_cast<double>(n) / 1e3);
  }
  return buffer;
}

}  // namespace

Result<std::unique_ptr<Session>> open_session(const Process& process,
                                              const options::Options& options,
                                              const SessionNeeds& needs) {
  const auto start = Clock::now();
  auto session = std::make_unique<Session>();
  session->profile = read_profile(process);
  QUERN_ASSIGN_OR_RETURN(session->backend, open_backend(options, session->profile.profile));
  session->threads = options.threads > 0 ? static_cast<int>(options.threads)
                                         : session->profile.profile.cpu.physical_cores;
  std::shared_ptr<const gguf::GgufFile> file = needs.file;
  if (file == nullptr) {
    QUERN_ASSIGN_OR_RETURN(file, loader::open_file_or_embedded(options.model));
  }
  loader::LoadOptions load_options;
  load_options.context_length = options.context_size;
  QUERN_ASSIGN_OR_RETURN(session->model,
                         loader::Model::load(std::move(file), *session->backend, load_options));
  QUERN_ASSIGN_OR_RETURN(session->adapter_choices, parse_adapters(options.lora));
  QUERN_ASSIGN_OR_RETURN(session->adapters, load_adapters(session->adapter_choices, *session->model,
                                                          *session->backend));

  engine::EngineOptions engine_options;
  engine_options.context_tokens = options.context_size;
  engine_options.max_sequences = needs.max_sequences;
  engine_options.max_queued = needs.max_queued;
  engine_options.max_step_tokens = static_cast<int32_t>(options.max_step_tokens);
  engine_options.kv_bytes = needs.kv_bytes;
  engine_options.idle_prompt_bytes = needs.prefix_cache_bytes;
  engine_options.page_directory = needs.page_directory;
  engine_options.page_directory_bytes = needs.page_directory_bytes;
  engine_options.log = needs.log;
  engine_options.machine = session->profile.profile.measured;
  engine_options.max_queued_per_share = needs.max_queued_per_key;
  engine_options.max_gap_ms = needs.max_gap_ms;
  engine_options.kv_format = *ops::kv_format_of(options.kv_format);
  QUERN_ASSIGN_OR_RETURN(session->speculation,
                         open_speculation(options, session->model->tokenizer(), *session->backend,
                                          needs.draft_for_all));
  engine_options.speculation = session->speculation.options;
  engine_options.turn = needs.turn;
  engine_options.adapters = session->adapters;
  QUERN_ASSIGN_OR_RETURN(session->engine,
                         engine::Engine::create(session->model, *session->backend, engine_options));
  session->load_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return session;
}

std::vector<std::string> summary_lines(const Session& session) {
  const loader::ModelFacts& facts = session.model->facts();
  const hardware::HardwareProfile& profile = session.profile.profile;
  char load[32];
  std::snprintf(load, sizeof(load), "%.2f s", session.load_seconds);
  std::vector<std::string> lines;
  lines.push_back(field("model", facts.name + " (" + facts.architecture + ", " +
                                     count_text(facts.n_parameters) + " parameters) from " +
                                     session.model->file().label()));
  lines.push_back(field("format", facts.recipe + ", " + options::format_bytes(facts.file_bytes) +
                                      ", used where it is mapped; loaded in " + load));
  for (size_t i = 0; i < session.adapters.size(); ++i) {
    lines.push_back(field(i == 0 ? "adapters" : "",
                          describe_adapter(session.adapter_choices[i], *session.adapters[i])));
  }
  lines.push_back(field("context", std::to_string(session.engine->context_tokens()) +
                                       " tokens per sequence (trained with " +
                                       std::to_string(facts.context_length) + ")"));
  lines.push_back(
      field("memory", options::format_bytes(session.engine->kv_bytes()) + " for keys and values; " +
                          options::format_bytes(profile.memory.available_bytes) + " of " +
                          options::format_bytes(profile.memory.total_bytes) + " free at start"));
  lines.push_back(
      field("speculation",
            describe_speculation(session.speculation, session.engine->stats().draft_kv_bytes)));
  lines.push_back(field(
      "backend", std::string(session.backend->name()) + ", " + std::to_string(session.threads) +
                     " threads, " + profile.cpu.model + " (" + profile.cpu.isa.to_string() + ")"));
  lines.push_back(field("profile", session.profile.note));
  bool first = true;
  for (const std::string& line : session.backend->explain()) {
    lines.push_back(field(first ? "kernels" : "", line));
    first = false;
  }
  return lines;
}

}  // namespace quern::cli
