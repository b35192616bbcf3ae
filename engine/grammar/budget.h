// What a compilation may cost, and the meter that every front end and the compiler charge.
//
// Outside text decides nothing but which limit it hits: each has its own sentence. A deadline and a
// stop flag end a compilation within some thousand units of work.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace quern::grammar {

struct Limits {
  size_t max_source_bytes = size_t{256} << 10;
  uint32_t max_nesting = 256;           // open groups in GBNF and in regular expressions
  uint32_t max_rules = 60'000;          // also those that a schema is turned into
  uint32_t max_expressions = 400'000;   // nodes of the intermediate form
  uint32_t max_states = 200'000;        // nodes and edges of the automaton
  uint32_t max_repeat = 2'000'000'000;  // {n} and maxLength; counted, not unrolled
  // While matching:
  uint32_t max_stack = 512;    // open rules and counted loops; deeper text is not permitted
  uint32_t max_active = 2048;  // parallel readings of one text
  uint64_t max_mask_work = 16'000'000;        // visits of (token trie node, reading) for one mask
  size_t max_table_bytes = size_t{24} << 20;  // lazily built tables and masks of one grammar
};

class Budget {
 public:
  using Clock = std::chrono::steady_clock;

  Budget() = default;
  // `stop` may be empty; it is asked now and then from the compiling thread.
  Budget(Limits limits, Clock::time_point deadline, std::function<bool()> stop = {})
      : limits_(limits), deadline_(deadline), stop_(std::move(stop)) {}

  const Limits& limits() const { return limits_; }

  // Counts `units` of work. kCancelled once stopped, kInvalidInput after the deadline; sticky.
  Status spend(uint64_t units);

 private:
  Limits limits_;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::function<bool()> stop_;
  uint64_t unchecked_ = 0;
  Status state_;
};

// "the grammar needs 5 rules; the limit is 4; make it smaller".
Error over_limit(std::string_view what, uint64_t needed, uint64_t limit, std::string_view advice);

}  // namespace quern::grammar
