// `quern serve`.
#include "server/cli/command.h"

namespace quern::cli {

Action define_serve(CLI::App&, const Process&) {
  return [] { return kExitFailed; };
}

}  // namespace quern::cli
