// Everything between options and a running engine: hardware profile, backend, file, model, engine.
// Shared by `serve` and `run`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/base/log.h"
#include "config/base/result.h"
#include "engine/run/engine.h"
#include "kernels/backend/backend.h"
#include "models/loader/model.h"
#include "server/cli/adapter_options.h"
#include "server/cli/command.h"
#include "server/cli/draft_options.h"

namespace quern::cli {

// Members are destroyed in reverse: the engine stops before its backend goes.
struct Session {
  hardware::LoadedProfile profile;
  std::unique_ptr<backend::Backend> backend;
  std::shared_ptr<const loader::Model> model;
  Speculation speculation;
  std::vector<AdapterChoice> adapter_choices;
  std::vector<std::shared_ptr<const loader::Adapter>> adapters;  // of them
  std::unique_ptr<engine::Engine> engine;
  int threads = 0;
  double load_seconds = 0;
};

// What a front door asks for on top of the options.
struct SessionNeeds {
  int32_t max_sequences = 1;
  int32_t max_queued = 0;
  uint64_t kv_bytes = 0;
  uint64_t prefix_cache_bytes = UINT64_MAX;
  std::string page_directory;
  uint64_t page_directory_bytes = uint64_t{10} << 30;
  Log log = Log::none();
  int32_t max_queued_per_key = 0;
  int64_t max_gap_ms = 0;
  bool draft_for_all = true;  // a draft model that does not fit is an error, see open_speculation()
  std::shared_ptr<engine::StepTurn> turn = nullptr;      // shared by the engines of several models
  std::shared_ptr<const gguf::GgufFile> file = nullptr;  // opened already; null: options.model is
};

Result<std::unique_ptr<Session>> open_session(const Process& process,
                                              const options::Options& options,
                                              const SessionNeeds& needs);

// One aligned line per fact: model, format, context, memory, backend, kernels chosen and why.
std::vector<std::string> summary_lines(const Session& session);

}  // namespace quern::cli
