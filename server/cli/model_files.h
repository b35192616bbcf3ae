// Which models `serve` has on offer: files named on the command line, files of a directory, or the
// embedded demo model; what each is called and takes; how each is loaded.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "server/api/catalogue.h"
#include "server/cli/session.h"

namespace quern::cli {

// Called on the loading thread when a model has been loaded, or was not.
using LoadReport = std::function<void(const std::string& id, const Result<const Session*>& loaded)>;

struct ModelChoice {
  std::vector<std::string> files;  // in their order; the first is the default model
  size_t n_named = 0;              // of them, the first ones; the others are of the directory
  // Bytes of all loaded models together; UINT64_MAX: not limited.
  uint64_t budget_bytes = UINT64_MAX;
};

// The files to serve: those `named`, else --model, and those of --model-dir; one empty name for the
// demo model. Errors: a directory that cannot be read or holds no model when nothing else is named;
// more
// --alias names than files.
Result<ModelChoice> choose_models(const options::Options& options,
                                  const std::vector<std::string>& named);

// Reads the header of each file. Errors: a file that is no model that can be run, or two models of
// one name; a file of the directory is left out instead, with a warning in the log.
Result<std::vector<api::ModelOffer>> offer_models(const Process& process,
                                                  const options::Options& options,
                                                  const SessionNeeds& needs,
                                                  const ModelChoice& choice,
                                                  const LoadReport& report);

}  // namespace quern::cli
