// A model that is loaded, as the manager sees it, and what it takes to load one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "config/base/result.h"

namespace quern::engine {

// Destroying it unloads the model.
class Resident {
 public:
  virtual ~Resident() = default;
  // Weights, keys and values, and scratch.
  virtual uint64_t bytes() const = 0;
  // False once its file has failed or was rewritten: it is to be loaded anew.
  virtual bool usable() const = 0;
  // Takes no more work; what runs has until `deadline`. As Engine::drain.
  virtual void drain(std::chrono::steady_clock::time_point deadline) = 0;
};

struct ModelSource {
  std::string name;    // for messages
  uint64_t bytes = 0;  // what it will take, by its header
  // Called on the manager's thread, one model at a time; may take long.
  std::function<Result<std::unique_ptr<Resident>>()> load;
};

// How long a model stays when nobody uses it.
using KeepAlive = std::chrono::nanoseconds;
inline constexpr KeepAlive kForever = KeepAlive::max();

}  // namespace quern::engine
