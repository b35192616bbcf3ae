// Runs the quern binary the way a shell would, for tests of the command line.
#pragma once

#include <string>
#include <vector>

namespace quern::testing {

struct Outcome {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out;
  std::string err;
};

// Runs `quern` with `arguments`, `input` on standard input, and an empty configuration directory.
// `variables` ("NAME=value") are added to a minimal environment.
Outcome run_quern(const std::vector<std::string>& arguments, const std::string& input = "",
                  const std::vector<std::string>& variables = {});

// The same for a script of the shell in which $QUERN is the program: for limits, signals and pipes.
Outcome run_script(const std::string& script, const std::vector<std::string>& variables = {});

}  // namespace quern::testing
