// `--budget`: which file of one model to load for an amount of memory, or which quantization of it
// to make once and keep.
//
// A file that fits and is fast enough is used as it is, the best of them. Otherwise the file of
// full precision, if there is one, is quantized with the best of the recipes that are quick to make
// and need no importance matrix; the result is kept by the contents of its source
// (models/convert/quantized_store.h) and found by the next start. Unless --kv-cache says otherwise
// a quarter of the memory is set aside for keys and values, or one context that was asked for; what
// the weights leave comes on top.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/convert/quantized_store.h"
#include "server/cli/command.h"

namespace quern::cli {

struct BudgetChoice {
  std::string path;                                  // what to load; empty: the embedded demo model
  std::string name;                                  // of the model
  uint64_t kv_bytes = 0;                             // for keys and values, of the budget
  std::vector<std::string> summary;                  // what was chosen and why, a line each
  std::unique_ptr<const convert::StoredModel> kept;  // as long as the file is in use; may be null
};

// `files` are all of one model, `sequences` run at once. Says on standard error how far it is when
// there is something to make. Errors: files of different models, nothing that fits (and what to
// change), whatever quantizing meets; interrupted (kCancelled).
Result<BudgetChoice> choose_for_budget(const Process& process, const options::Options& options,
                                       const std::vector<std::string>& files, int32_t sequences);

}  // namespace quern::cli
