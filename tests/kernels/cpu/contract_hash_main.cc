// Prints the contract hashes of one instruction set: contract_hash [cap] [threads].
//
// The output is tests/golden/kernels/contract_hashes.txt, on any machine or emulator:
//   qemu-aarch64 -L /usr/aarch64-linux-gnu ./contract_hash | diff - contract_hashes.txt
#include <charconv>
#include <cstdio>
#include <cstring>

#include "tests/kernels/cpu/contract_hash.h"
#include "tests/kernels/cpu/kernel_fixture.h"

int main(int argc, char** argv) {
  int threads = 1;
  if (argc > 2) std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), threads);
  auto backend = quern::cpu_tests::make_backend(argc > 1 ? argv[1] : "", threads);
  const std::string text = quern::cpu_tests::to_text(quern::cpu_tests::contract_hashes(*backend));
  std::fputs(text.c_str(), stdout);
  for (const std::string& line : backend->explain()) std::fprintf(stderr, "%s\n", line.c_str());
  return 0;
}
