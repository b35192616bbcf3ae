#include "server/cli/budget.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "engine/run/model_digest.h"
#include "models/convert/quantize.h"
#include "models/fit/candidate.h"
#include "models/fit/recommend.h"
#include "models/fit/same_model.h"
#include "models/gguf/name_rules.h"
#include "models/loader/embedded_model.h"
#include "server/cli/interrupt.h"
#include "server/cli/progress.h"
#include "server/cli/session.h"

namespace quern::cli {
namespace {

// Recipes whose encoders take seconds for a model of a billion weights and are meant to be used
// without an importance matrix; a size for about every sixth of the way from 8 bits to 3.
constexpr std::string_view kRecipes[] = {"Q8_0",   "Q6_K",   "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S",
                                         "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"};
constexpr uint64_t kDefaultCacheBytes = uint64_t{100} << 30;

using File = std::shared_ptr<const gguf::GgufFile>;

Result<std::filesystem::path> cache_directory(const Process& process,
                                              const options::Options& options) {
  if (!options.cache_dir.empty()) return std::filesystem::path(options.cache_dir);
  if (!process.cache_home.empty()) {
    return std::filesystem::path(process.cache_home) / "quern" / "quantized";
  }
  return Error(ErrorKind::kNotFound,
               "no directory to keep a quantized model in: neither XDG_CACHE_HOME nor HOME is set; "
               "name one with --cache-dir");
}

hardware::HardwareProfile read_profile(const Process& process) {
  const auto path = hardware::profile_path(process.config_home);
  return path.ok() ? hardware::load_profile(*path).profile : hardware::probe_hardware();
}

class Chooser {
 public:
  Chooser(const Process& process, const options::Options& options, int32_t sequences)
      : process_(process), options_(options), profile_(read_profile(process)) {
    terms_.run = {.context_tokens = options.context_size,
                  .sequences = sequences,
                  .max_step_tokens = static_cast<int32_t>(options.max_step_tokens),
                  .kv_format = *ops::kv_format_of(options.kv_format)};
    terms_.machine = profile_.measured;
    const auto budget = static_cast<uint64_t>(options.budget.count);
    terms_.most_kv_bytes =
        options.kv_cache.count > 0 ? static_cast<uint64_t>(options.kv_cache.count) : budget / 4;
    limits_ = {.memory_bytes = budget, .decode_rate = options.min_speed, .run = terms_.run};
  }

  Result<BudgetChoice> run(const std::vector<std::string>& names) {
    QUERN_RETURN_IF_ERROR(open_all(names));
    if (reference_ != nullptr) {
      sampler_.emplace(reference_, profile_.cpu.isa, profile_.cpu.logical_processors);
    }
    QUERN_RETURN_IF_ERROR(judge_files());
    const fit::Recommendation of_files = fit::recommend(candidates_, limits_);
    if (of_files.index && of_files.fast_enough) return use(*of_files.index, of_files);
    if (reference_ == nullptr) return use_or_explain(of_files);
    QUERN_RETURN_IF_ERROR(add_recipes());
    const fit::Recommendation best = fit::recommend(candidates_, limits_);
    return use_or_explain(best);
  }

 private:
  Status open_all(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      QUERN_ASSIGN_OR_RETURN(File file, loader::open_file_or_embedded(name));
      if (!files_.empty()) QUERN_RETURN_IF_ERROR(check_same(*file));
      if (reference_ == nullptr && fit::is_full_precision(*file)) reference_ = file;
      files_.push_back(std::move(file));
      names_.push_back(name);
    }
    return ok_status();
  }

  Status check_same(const gguf::GgufFile& file) const {
    const auto difference = fit::model_difference(*files_.front(), file);
    if (!difference) return ok_status();
    return Error(ErrorKind::kInvalidInput,
                 gguf::printable(files_.front()->label(), 4096) + " and " +
                     gguf::printable(file.label(), 4096) + " are of different models (" +
                     *difference +
                     "), and --budget chooses among files of one: name those of one model");
  }

  Status judge_files() {
    for (const File& file : files_) {
      QUERN_ASSIGN_OR_RETURN(fit::Candidate candidate, fit::candidate_of_file(*file, terms_));
      if (sampler_) {
        QUERN_ASSIGN_OR_RETURN(candidate.error, sampler_->of_file(*file));
      }
      candidates_.push_back(std::move(candidate));
    }
    return ok_status();
  }

  Status add_recipes() {
    std::vector<const convert::Recipe*> recipes;
    for (const std::string_view name : kRecipes) recipes.push_back(convert::find_recipe(name));
    QUERN_ASSIGN_OR_RETURN(auto planned,
                           fit::candidates_of_recipes(*reference_, recipes, terms_, *sampler_));
    for (fit::Candidate& candidate : planned) candidates_.push_back(std::move(candidate));
    return ok_status();
  }

  Result<BudgetChoice> use_or_explain(const fit::Recommendation& recommendation) {
    if (!recommendation.index) {
      return Error(ErrorKind::kOutOfMemory, "--budget: " + recommendation.why);
    }
    return use(*recommendation.index, recommendation);
  }

  Result<BudgetChoice> use(size_t index, const fit::Recommendation& recommendation) {
    const fit::Candidate& candidate = candidates_[index];
    BudgetChoice choice;
    if (candidate.planned) {
      QUERN_RETURN_IF_ERROR(quantize(candidate, choice));
    } else {
      choice.path = names_[index];
    }
    choice.name = candidate.name;
    choice.kv_bytes = candidate.memory.kv;
    if (options_.kv_cache.count == 0) {
      const uint64_t rest =
          limits_.memory_bytes - std::min(candidate.memory.total(), limits_.memory_bytes);
      choice.kv_bytes = std::min(candidate.full_kv_bytes, candidate.memory.kv + rest);
    }
    choice.summary.insert(choice.summary.begin(), recommendation.why);
    choice.summary.push_back("takes " + options::format_bytes(candidate.memory.weights) +
                             " for weights, " + options::format_bytes(choice.kv_bytes) +
                             " for keys and values, " +
                             options::format_bytes(candidate.memory.scratch) + " for a step");
    return choice;
  }

  Status quantize(const fit::Candidate& candidate, BudgetChoice& choice) {
    QUERN_ASSIGN_OR_RETURN(const auto directory, cache_directory(process_, options_));
    convert::QuantizeChoices choices;
    choices.recipe = convert::find_recipe(candidate.recipe);
    QUERN_ASSIGN_OR_RETURN(const auto plan, convert::plan_quantization(*reference_, choices));
    const Interrupt interrupt;
    convert::QuantizedStoreOptions store_options;
    store_options.directory = directory;
    store_options.max_bytes = options_.cache_bytes.count > 0
                                  ? static_cast<uint64_t>(options_.cache_bytes.count)
                                  : kDefaultCacheBytes;
    store_options.stop = &interrupt.flag();
    store_options.waiting = [this] {
      process_.err << "waiting for another process that quantizes" << std::endl;
    };
    QUERN_ASSIGN_OR_RETURN(const auto store,
                           convert::QuantizedStore::open(std::move(store_options)));
    QUERN_ASSIGN_OR_RETURN(const Digest digest, digest_of_reference(directory));
    const Digest key = convert::quantized_key(digest, plan);
    const auto make = [&](const std::filesystem::path& path) {
      return write(plan, candidate, interrupt.flag(), path);
    };
    QUERN_ASSIGN_OR_RETURN(auto kept, store.get(key, plan.file_bytes, make));
    if (!gguf::GgufFile::open(kept->path()).ok()) {
      process_.err << "the file that was kept is damaged and is made again" << std::endl;
      store.forget(key);
      QUERN_ASSIGN_OR_RETURN(kept, store.get(key, plan.file_bytes, make));
    }
    choice.path = kept->path().string();
    choice.summary.push_back((kept->made() ? "quantized now from " : "quantized earlier from ") +
                             reference_->label() + ", kept as " + choice.path);
    choice.kept = std::move(kept);
    return ok_status();
  }

  Result<Digest> digest_of_reference(const std::filesystem::path& directory) const {
    process_.err << "recognising " << reference_->label() << " by its contents" << std::endl;
    const auto digest = engine::model_digest(*reference_, directory);
    if (digest) return *digest;
    return Error(ErrorKind::kIo, gguf::printable(reference_->label(), 4096) +
                                     ": changed or became unreadable while it was read: try again "
                                     "when nobody writes to it");
  }

  Status write(const convert::QuantizePlan& plan, const fit::Candidate& candidate,
               const std::atomic<bool>& stop, const std::filesystem::path& path) const {
    Progress progress(process_, "quantizing to " + candidate.recipe);
    convert::QuantizeOptions options;
    options.threads = profile_.cpu.logical_processors;
    options.isa = profile_.cpu.isa;
    options.progress = [&](uint64_t done, uint64_t total) { progress.show(done, total); };
    options.stop = &stop;
    return convert::quantize_file(*reference_, plan, options, path);
  }

  const Process& process_;
  const options::Options& options_;
  hardware::HardwareProfile profile_;
  fit::Terms terms_;
  fit::Limits limits_;
  std::vector<File> files_;
  std::vector<std::string> names_;
  File reference_;  // of full precision; may be null
  std::optional<fit::ErrorSampler> sampler_;
  std::vector<fit::Candidate> candidates_;
};

}  // namespace

Result<BudgetChoice> choose_for_budget(const Process& process, const options::Options& options,
                                       const std::vector<std::string>& files, int32_t sequences) {
  return Chooser(process, options, sequences).run(files);
}

}  // namespace quern::cli
