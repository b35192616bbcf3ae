// What `perplexity` and `compare` share: a text cut into windows and models opened for scoring.
#pragma once

#include <memory>
#include <string>

#include "config/base/thread_pool.h"
#include "config/hardware/profile.h"
#include "config/options/options.h"
#include "models/evaluate/evaluation.h"
#include "server/cli/adapter_options.h"
#include "server/cli/command.h"

namespace quern::cli {

struct EvaluationText {
  std::string path;
  int32_t context = 512;
  int64_t max_windows = 0;  // 0: all
};

// One model ready to be scored. Members are destroyed in reverse.
struct EvaluatedModel {
  std::string path;
  std::unique_ptr<backend::Backend> backend;
  std::shared_ptr<const loader::Model> model;
  std::vector<std::shared_ptr<const loader::Adapter>> adapters;
  std::unique_ptr<evaluate::WindowScorer> scorer;
};

// The text that every model of a run is asked; read once, cut by each model's own vocabulary.
Result<std::string> read_text(const std::string& path);

Result<std::unique_ptr<EvaluatedModel>> open_evaluated(
    const options::Options& options, const hardware::HardwareProfile& profile,
    const std::string& path, int32_t context, const std::vector<AdapterChoice>& adapters = {});
Result<evaluate::Windows> cut_windows(const EvaluatedModel& model, std::string_view text,
                                      const EvaluationText& how);

// Models that do not number the same tokens alike cannot be compared: an error that names the first
// difference.
Status check_same_vocabulary(const EvaluatedModel& a, const EvaluatedModel& b);

int evaluation_threads(const options::Options& options, const hardware::HardwareProfile& profile);

// "6.1234 +/- 0.0312"
std::string estimate_text(const evaluate::Estimate& estimate, int digits);

}  // namespace quern::cli
