// One hash per operation (and format) over the results of fixed seeded inputs: equal hashes on
// every machine, instruction set and number of threads are what the reproducibility contract
// promises.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend/backend.h"

namespace quern::cpu_tests {

struct ContractHash {
  std::string name;  // "matmul Q4_K"
  uint64_t hash;
};

std::vector<ContractHash> contract_hashes(backend::Backend& backend);

// "name hash" per line.
std::string to_text(const std::vector<ContractHash>& hashes);

}  // namespace quern::cpu_tests
