// Sends the requests and watches the answers come.
//
// One thread and poll: as many streams as there are sockets, with times taken when bytes arrive.
// Closed loop: each of N clients asks again when its answer is whole. Open loop: requests start at
// times that were fixed before (schedule.h); one that cannot start then starts late, is counted,
// and its latency is measured from when it was to start. Each request has a connection of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "server/http/dial.h"
#include "server/loadgen/schedule.h"
#include "server/loadgen/tally.h"
#include "server/loadgen/target.h"
#include "server/loadgen/workload.h"

namespace quern::loadgen {

struct RunOptions {
  Target target;
  std::string key;  // of the API; empty: none
  int clients = 1;  // of a closed loop
  double rate = 0;  // requests per second of an open loop; 0: closed
  ArrivalKind arrivals = ArrivalKind::kPoisson;
  int max_in_flight = 512;  // of an open loop
  uint64_t seed = 0;
  uint64_t n_requests = 100;  // the run ends with these,
  double duration = 0;        // or starts none after so many seconds; 0: no such bound
  uint64_t n_warm_up = 0;     // requests before, whose answers are waited for and not counted
  double timeout = 600;       // seconds from the start of a request to its end
};

struct RunProgress {
  bool warm_up = false;
  uint64_t ended = 0;
  size_t in_flight = 0;
};
// Called about twice a second.
using OnProgress = std::function<void(const RunProgress& progress)>;

// `on_progress` may be empty.
Tally run_load(const RunOptions& options, const http::Destination& destination,
               const Workload& workload, const OnProgress& on_progress = {});

}  // namespace quern::loadgen
