// What is asked: the body of every request, a function of its number and the seed alone.
//
// Prompts are words drawn at random, so that a server cannot answer one from another's cache, or
// the lines of a file, in turn.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/base/json.h"
#include "config/base/result.h"
#include "server/loadgen/lengths.h"

namespace quern::loadgen {

struct WorkloadOptions {
  bool chat = false;
  bool ask_usage = true;  // stream_options.include_usage
  Lengths prompt_words;
  Lengths max_tokens;
  uint64_t seed = 0;
  Json extra = Json::object();  // further fields of each request
};

class Workload {
 public:
  static constexpr size_t kMaxFileBytes = size_t{64} << 20;

  explicit Workload(WorkloadOptions options) : options_(std::move(options)) {}

  // Takes prompts from a file's text instead, one JSON value a line: a string, or an object with
  // "prompt" or "messages" and perhaps "max_tokens". `label` names the file in errors.
  Status take_prompts(std::string_view text, const std::string& label);

  void set_model(std::string name) { model_ = std::move(name); }

  std::string body(uint64_t number) const;

 private:
  struct Prompt {
    Json content;            // a string or messages
    int64_t max_tokens = 0;  // 0: drawn
  };
  Result<Prompt> read_prompt(const Json& line) const;

  WorkloadOptions options_;
  std::string model_;
  std::vector<Prompt> prompts_;
};

}  // namespace quern::loadgen
