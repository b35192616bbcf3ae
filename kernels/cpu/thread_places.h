// The processors that the workers of a pool are bound to, or none.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_backend.h"

namespace quern::cpu {

class ThreadPlaces {
 public:
  // Looks at this machine.
  ThreadPlaces(Pinning pinning, int n_threads);

  bool bound() const { return !places_.empty(); }
  // Memory nodes of the workers; one or none: it does not matter where memory lies.
  std::span<const int> nodes() const { return nodes_; }
  // "bound to processors 0 2".
  std::string to_string() const;

  // Binds the calling thread to the worker's place.
  void bind(int worker) const;
  // Lets the calling thread run anywhere again, as well as the threads that it starts.
  void release() const;

 private:
  std::vector<int> allowed_;
  std::vector<int> places_;  // of each worker; empty: not bound
  std::vector<int> nodes_;
};

}  // namespace quern::cpu
