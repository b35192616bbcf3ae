// The whole contract at once: the hashes frozen in the repository, from every instruction set of
// this machine and several numbers of threads. tests/golden/kernels/contract_hashes.txt was printed
// by contract_hash with the scalar rows on x86-64; a change of it is a change of the contract.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/kernels/cpu/contract_hash.h"
#include "tests/kernels/cpu/kernel_fixture.h"

namespace quern::cpu_tests {
namespace {

TEST(Contract, FrozenHashesOnEveryInstructionSet) {
  std::ifstream file(QUERN_SOURCE_DIR "/tests/golden/kernels/contract_hashes.txt");
  ASSERT_TRUE(file.good());
  std::ostringstream golden;
  golden << file.rdbuf();
  for (const std::string& cap : isa_caps()) {
    for (const int threads : {1, 3}) {
      auto backend = make_backend(cap, threads);
      EXPECT_EQ(to_text(contract_hashes(*backend)), golden.str())
          << cap << " with " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace quern::cpu_tests
