// Mutations of a valid file by the thousand: each is refused or can be read in full. Run under
// AddressSanitizer by the `dev` preset.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "models/gguf/reader.h"
#include "tests/models/gguf/raw_gguf.h"

namespace quern::gguf {
namespace {

// Reads every byte that an accepted file points to.
unsigned touch_all(const GgufFile& file) {
  unsigned sum = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    EXPECT_EQ(tensor.data.size() > 0, true);
    EXPECT_EQ(file.find_tensor(tensor.name), &tensor);
    for (const std::byte b : tensor.data) sum += static_cast<unsigned>(b);
  }
  for (const auto& [key, value] : file.metadata().entries()) {
    sum += static_cast<unsigned>(key.size() + value.index());
  }
  return sum;
}

// Parses a copy whose allocation ends with the last byte, so that reading past it is caught.
bool accepted(std::string_view bytes) {
  const std::unique_ptr<std::byte[]> exact(new std::byte[bytes.size()]);
  std::copy_n(raw::as_bytes(bytes).data(), bytes.size(), exact.get());
  const auto file = GgufFile::from_bytes({exact.get(), bytes.size()}, "m");
  if (!file.ok()) {
    EXPECT_FALSE(file.error().message().empty());
    return false;
  }
  EXPECT_NE(touch_all(**file), 0u);
  return true;
}

TEST(Corpus, EveryTruncationIsRefused) {
  const std::string bytes = raw::small_file().bytes();
  ASSERT_TRUE(accepted(bytes));
  // The last tensor ends 28 bytes before the padded end of the file.
  for (size_t n = 0; n < bytes.size() - 28; ++n) {
    EXPECT_FALSE(accepted(std::string_view(bytes).substr(0, n))) << n << " bytes";
  }
  EXPECT_TRUE(accepted(std::string_view(bytes).substr(0, bytes.size() - 28)));
}

TEST(Corpus, EveryHeaderByteTakesEveryValue) {
  const std::string bytes = raw::small_file().bytes();
  for (size_t at = 0; at < 24; ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string mutated = bytes;
      mutated[at] = static_cast<char>(value);
      const bool unchanged = mutated[at] == bytes[at];
      const bool ok = accepted(mutated);
      EXPECT_TRUE(ok || !unchanged);
      EXPECT_FALSE(ok && at < 4 && !unchanged);
    }
  }
}

TEST(Corpus, EveryMetadataByteIsFlipped) {
  const std::string bytes = raw::small_file().bytes();
  const size_t end = raw::small_file().header().size();
  for (size_t at = 24; at < end; ++at) {
    const auto old = static_cast<unsigned char>(bytes[at]);
    for (const int value : {0, 0xff, old ^ 1, old ^ 0x80, old + 1, 0x7f}) {
      std::string mutated = bytes;
      mutated[at] = static_cast<char>(value);
      accepted(mutated);
    }
  }
}

TEST(Corpus, EveryAlignedWordTakesExtremeValues) {
  const std::string bytes = raw::small_file().bytes();
  const size_t end = raw::small_file().header().size();
  for (size_t at = 8; at + 8 <= end; ++at) {
    for (const uint64_t value : {~uint64_t{0}, uint64_t{1} << 63, (uint64_t{1} << 63) - 1,
                                 uint64_t{1} << 32, uint64_t{0xffffffff}, ~uint64_t{31}}) {
      std::string mutated = bytes;
      mutated.replace(at, 8, raw::le(value));
      accepted(mutated);
    }
  }
}

// Pseudo-random bursts, the same in every run.
TEST(Corpus, BurstsOfNoise) {
  const std::string bytes = raw::small_file().bytes();
  uint64_t state = 88172645463325252u;
  const auto next = [&state] {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  };
  for (int round = 0; round < 3000; ++round) {
    std::string mutated = bytes;
    for (uint64_t n = 1 + next() % 8; n > 0; --n) {
      mutated[8 + next() % (mutated.size() - 8)] = static_cast<char>(next());
    }
    if (next() % 4 == 0) mutated.resize(next() % mutated.size());
    accepted(mutated);
  }
}

}  // namespace
}  // namespace quern::gguf
