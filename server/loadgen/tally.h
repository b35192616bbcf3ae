// What became of the requests of a run, summed up.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/loadgen/histogram.h"
#include "server/loadgen/stream_reader.h"

namespace quern::loadgen {

// Why a request failed; the names for reports are in tally.cc.
enum class Failure : uint8_t {
  kNone,
  kConnect,      // no connection
  kTimeout,      // no end within the time
  kStatus,       // another status than 200
  kMalformed,    // no HTTP, no event stream, or no JSON of the OpenAI form
  kBroken,       // the stream ended before its end was said
  kStreamError,  // an error inside the stream
  kEmpty,        // a whole answer without any text
};

// One request. Times are seconds since the run began.
struct Outcome {
  double intended = 0;  // when it was to start: what latencies are measured from
  double started = 0;
  double first = 0;  // piece of text
  double last = 0;
  double ended = 0;
  int64_t n_pieces = 0;
  std::vector<float> gaps;  // between pieces
  std::optional<StreamUsage> usage;
  Failure failure = Failure::kNone;
  int status = 0;       // of the answer; 0: none
  std::string message;  // of the failure
};

struct FailureCount {
  uint64_t count = 0;
  std::string first_message;
};

class Tally {
 public:
  // A request that starts later than this after its time counts as late.
  static constexpr double kLateSeconds = 0.01;

  void add(const Outcome& outcome);

  uint64_t n_answered = 0;
  uint64_t n_failed = 0;
  uint64_t n_late = 0;
  double latest = 0;                             // seconds, of any request
  std::map<std::string, FailureCount> failures;  // by name: "connect", "http_429", ...

  // Of answered requests; latencies from the intended start on.
  Histogram first_text;
  Histogram gap;
  Histogram longest_gap;  // of each answer with more than one piece
  Histogram end_to_end;

  // Of answered requests: as the server counts where it does, else pieces of text.
  uint64_t n_with_usage = 0;
  uint64_t completion_tokens = 0;
  uint64_t n_pieces = 0;       // gaps are between these; a server may put several tokens into one
  uint64_t prompt_tokens = 0;  // known with usage only
  uint64_t cached_tokens = 0;  // of them
  double last_end = 0;         // of any request

  // "usage", "pieces" or "both".
  std::string tokens_from() const;
};

}  // namespace quern::loadgen
