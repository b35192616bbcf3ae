// A run's figures as a table for people and as JSON for programs.
#pragma once

#include <ostream>
#include <string>

#include "config/base/json.h"
#include "server/loadgen/load_run.h"

namespace quern::loadgen {

Json report_json(const RunOptions& options, const std::string& model, const Tally& tally);
void print_report(std::ostream& out, const RunOptions& options, const std::string& model,
                  const Tally& tally);

}  // namespace quern::loadgen
