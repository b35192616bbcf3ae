// See model_files.h. Headers are read here and the files closed again, except for the first model,
// which is usually loaded right afterwards.
#include "server/cli/model_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "config/hardware/cpu_probe.h"
#include "models/loader/embedded_model.h"
#include "models/loader/memory_estimate.h"
#include "server/api/app/describe_model.h"
#include "server/http/message.h"

namespace quern::cli {
namespace {

// A model in memory, with everything it runs on.
class SessionResident final : public api::ServedResident {
 public:
  // `other_bytes`: what it takes beside weights, keys and values.
  SessionResident(std::unique_ptr<Session> session, const api::ListedModel& listed,
                  uint64_t other_bytes)
      : session_(std::move(session)),
        model_(api::serve_model(*session_->engine, listed)),
        bytes_(model_.facts.file_bytes + session_->engine->kv_bytes() + other_bytes) {
    for (const auto& adapter : session_->adapters) bytes_ += adapter->facts().file_bytes;
  }

  // The engine goes first: what it still holds refers to the model's grammars.
  ~SessionResident() override { session_->engine.reset(); }
  SessionResident(const SessionResident&) = delete;
  SessionResident& operator=(const SessionResident&) = delete;

  uint64_t bytes() const override { return bytes_; }
  bool usable() const override {
    const auto is_whole = [](const gguf::GgufFile& file) {
      return !file.poisoned() && !file.changed_on_disk();
    };
    return is_whole(session_->model->file()) &&
           std::all_of(session_->adapters.begin(), session_->adapters.end(),
                       [&](const auto& adapter) { return is_whole(adapter->file()); });
  }
  void drain(std::chrono::steady_clock::time_point deadline) override {
    session_->engine->drain(deadline);
  }
  const api::ServedModel& model() const override { return model_; }

 private:
  std::unique_ptr<Session> session_;
  api::ServedModel model_;  // refers to the session
  uint64_t bytes_;
};

// The parts of a split model behind the first are found through it.
bool is_later_part(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  return api::model_stem(path.string()) != stem && stem.find("-00001-of-") == std::string::npos;
}

Result<std::vector<std::string>> files_of(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  std::filesystem::directory_iterator it(directory, error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::filesystem::path& path = it->path();
    std::error_code ignored;
    if (path.extension() != ".gguf" || is_later_part(path)) continue;
    if (std::filesystem::is_regular_file(path, ignored)) files.push_back(path.string());
  }
  if (error) {
    return Error(ErrorKind::kNotFound, "the model directory " + directory + " cannot be read: " +
                                           error.message() + "; check --model-dir");
  }
  std::sort(files.begin(), files.end());
  return files;
}

uint64_t budget_of(const options::Options& options, size_t n_models) {
  if (options.model_memory.count > 0) return static_cast<uint64_t>(options.model_memory.count);
  if (n_models == 1) return UINT64_MAX;
  return hardware::probe_memory().total_bytes / 4 * 3;
}

// One file of the choice, its header read.
struct Candidate {
  api::ListedModel listed;
  std::shared_ptr<const gguf::GgufFile> file;
  uint64_t scratch_bytes = 0;
  // Of the draft model, weights and scratch. Whether its vocabulary fits is not known from the
  // header, so until the model is loaded it counts.
  uint64_t draft_bytes = 0;
  uint64_t bytes = 0;  // adapters included
};

Result<Candidate> read_header(const std::string& path, const std::string& alias,
                              const options::Options& options, const SessionNeeds& needs,
                              bool only_one) {
  Candidate out;
  QUERN_ASSIGN_OR_RETURN(out.file, loader::open_file_or_embedded(path));
  const auto kv_format = *ops::kv_format_of(options.kv_format);
  const auto sized = loader::model_size(*out.file, kv_format);
  if (!sized.ok()) return sized.error().with_context(out.file->label());
  const auto architecture = out.file->metadata().get_string("general.architecture");
  loader::ModelFacts facts =
      loader::collect_facts(*out.file, architecture.ok() ? *architecture : "", sized->hyper, {});
  // Several files may hold the same model in several formats: their file names tell them apart.
  const std::string stem = api::model_stem(path);
  const std::string id =
      !alias.empty() || only_one || stem.empty() ? alias : api::model_id_from(stem);
  out.listed = api::list_model(*out.file, std::move(facts), id, path);
  QUERN_ASSIGN_OR_RETURN(
      const loader::MemoryEstimate memory,
      loader::estimate_memory(*sized, {options.context_size, needs.max_sequences,
                                       static_cast<int32_t>(options.max_step_tokens), kv_format}));
  const int64_t context =
      options.context_size > 0 ? options.context_size : sized->hyper.context_length;
  QUERN_ASSIGN_OR_RETURN(const DraftMemory draft,
                         draft_memory(options, context, needs.max_sequences));
  const uint64_t wanted_kv = memory.kv + draft.kv;
  const uint64_t kv = needs.kv_bytes > 0 ? std::min(needs.kv_bytes, wanted_kv) : wanted_kv;
  QUERN_ASSIGN_OR_RETURN(const auto choices, parse_adapters(options.lora));
  QUERN_ASSIGN_OR_RETURN(const auto adapters, read_adapters(choices));
  out.listed.adapters = list_adapters(choices, adapters);
  out.scratch_bytes =
      memory.scratch +
      loader::adapter_scratch_bytes(
          adapters, static_cast<int32_t>(options.max_step_tokens),
          static_cast<int32_t>(std::min<int64_t>(needs.max_sequences, options.max_step_tokens)));
  out.draft_bytes = draft.fixed;
  out.bytes = out.listed.facts.file_bytes + kv + out.scratch_bytes + out.draft_bytes;
  for (const loader::AdapterFacts& adapter : adapters) out.bytes += adapter.file_bytes;
  return out;
}

api::ModelOffer offer_of(Candidate candidate, const Process& process, options::Options options,
                         SessionNeeds needs, const LoadReport& report) {
  api::ModelOffer offer;
  offer.listed = candidate.listed;
  offer.bytes = candidate.bytes;
  // The first load uses the file that is open already.
  auto opened = std::make_shared<std::shared_ptr<const gguf::GgufFile>>(std::move(candidate.file));
  offer.load = [&process, report, options = std::move(options), needs = std::move(needs),
                listed = std::move(candidate.listed), scratch = candidate.scratch_bytes,
                draft_bytes = candidate.draft_bytes,
                opened]() mutable -> Result<std::unique_ptr<api::ServedResident>> {
    needs.file = std::exchange(*opened, nullptr);
    auto session = open_session(process, options, needs);
    needs.file = nullptr;
    if (!session.ok()) {
      report(listed.id, session.error());
      return session.error();
    }
    report(listed.id, session->get());
    const bool drafts = (*session)->speculation.options.draft_model != nullptr;
    return std::unique_ptr<api::ServedResident>(std::make_unique<SessionResident>(
        std::move(session).value(), listed, scratch + (drafts ? draft_bytes : 0)));
  };
  return offer;
}

bool is_taken(const std::vector<api::ModelOffer>& offers, const std::string& id) {
  return std::any_of(offers.begin(), offers.end(), [&](const api::ModelOffer& offer) {
    return http::equals_ignoring_case(offer.listed.id, id);
  });
}

}  // namespace

Result<ModelChoice> choose_models(const options::Options& options,
                                  const std::vector<std::string>& named) {
  ModelChoice choice;
  choice.files = named;
  if (named.empty() && !options.model.empty()) choice.files.push_back(options.model);
  choice.n_named = choice.files.size();
  if (!options.lora.empty() && choice.n_named == 0 && !options.model_dir.empty()) {
    return Error(ErrorKind::kInvalidInput,
                 "--lora needs to know the model it belongs to; name that model's file as well");
  }
  if (!options.model_dir.empty()) {
    QUERN_ASSIGN_OR_RETURN(const auto found, files_of(options.model_dir));
    if (found.empty() && choice.files.empty()) {
      return Error(ErrorKind::kNotFound, "there is no *.gguf file in " + options.model_dir +
                                             "; put one there, or name a file");
    }
    choice.files.insert(choice.files.end(), found.begin(), found.end());
  } else if (choice.files.empty()) {
    choice.files.emplace_back();
    choice.n_named = 1;
  }
  if (options.alias.size() > choice.n_named) {
    return Error(ErrorKind::kInvalidInput,
                 "--alias gives " + std::to_string(options.alias.size()) + " names to " +
                     std::to_string(choice.n_named) +
                     " models; give at most one to each file that is named");
  }
  choice.budget_bytes = budget_of(options, choice.files.size());
  return choice;
}

Result<std::vector<api::ModelOffer>> offer_models(const Process& process,
                                                  const options::Options& options,
                                                  const SessionNeeds& needs,
                                                  const ModelChoice& choice,
                                                  const LoadReport& report) {
  const bool only_one = choice.files.size() == 1;
  std::vector<api::ModelOffer> offers;
  for (size_t i = 0; i < choice.files.size(); ++i) {
    const std::string& path = choice.files[i];
    const bool named = i < choice.n_named;
    const std::string alias = i < options.alias.size() ? options.alias[i] : std::string();
    options::Options own = options;
    own.model = path;
    if (i > 0) own.lora.clear();  // they are the first model's
    auto candidate = read_header(path, alias, own, needs, only_one);
    if (candidate.ok() && is_taken(offers, candidate->listed.id)) {
      candidate = Error(ErrorKind::kInvalidInput, path + ": there is another model called '" +
                                                      candidate->listed.id +
                                                      "'; rename the file or give it an --alias");
    }
    if (!candidate.ok()) {
      if (named) return candidate.error();
      needs.log.warn("left out: " + candidate.error().message());
      continue;
    }
    if (i > 0 || !named) candidate->file = nullptr;  // not loaded soon
    offers.push_back(
        offer_of(std::move(candidate).value(), process, std::move(own), needs, report));
  }
  if (offers.empty()) {
    return Error(ErrorKind::kNotFound,
                 "no file of " + options.model_dir + " can be served; the log says why");
  }
  return offers;
}

}  // namespace quern::cli
