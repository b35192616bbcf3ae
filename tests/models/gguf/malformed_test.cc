// The catalogue of malformed files (docs/reliability.md 2.1): each is refused with the right
// sentence, in time and within the memory bound that the reader promises.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "models/gguf/reader.h"
#include "tests/models/gguf/allocation_counter.h"
#include "tests/models/gguf/raw_gguf.h"

namespace quern::gguf {
namespace {

using raw::File;
using raw::le;
using raw::pair;
using raw::pair_u32;
using raw::tensor;
using raw::text;
using ::testing::HasSubstr;

constexpr char kTruncated[] = "the file is truncated: download it again";
constexpr char kCorrupt[] = "the file is corrupt";
constexpr uint64_t kTop = uint64_t{1} << 63;
constexpr uint64_t kMax = ~uint64_t{0};

// Parses and returns the error text; checks the bound on memory on the way.
std::string error_of(const std::string& bytes) {
  reset_peak();
  const auto file = GgufFile::from_bytes(raw::as_bytes(bytes), "m.gguf");
  EXPECT_LE(peak_bytes(), 4 * bytes.size() + (16u << 20));
  return file.ok() ? "accepted" : file.error().message();
}

struct Case {
  const char* id;
  std::string bytes;
  const char* fragment;
};

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const std::string message = error_of(c.bytes);
    EXPECT_THAT(message, HasSubstr(c.fragment)) << c.id;
    EXPECT_THAT(message, ::testing::StartsWith("m.gguf: ")) << c.id;
    for (const char letter : message) EXPECT_GE(static_cast<unsigned char>(letter), 0x20) << c.id;
  }
}

std::string with(const std::function<void(File&)>& change) {
  File file = raw::small_file();
  change(file);
  return file.bytes();
}
std::string with_pair(const std::string& bytes) {
  return with([&](File& f) { f.pairs.push_back(bytes); });
}
std::string with_tensor(const std::string& bytes) {
  return with([&](File& f) {
    f.tensors.push_back(bytes);
    f.data += std::string(32, '\x22');
  });
}
// One tensor alone, 4 KiB of data.
std::string only_tensor(const std::string& bytes) {
  File file;
  file.tensors = {bytes};
  file.data = std::string(4096, '\x11');
  return file.bytes();
}

TEST(Malformed, Magic) {
  check({{"G-01", "", "the file is empty"},
         {"G-02", "G", kTruncated},
         {"G-02", "GGU", kTruncated},
         {"G-02", "GGUF", kTruncated},
         {"G-04", "XXXX" + std::string(64, '\0'), "begins with 'XXXX', expected 'GGUF'"},
         {"G-04", std::string("\x1b[2J\n\0\xff", 7), "begins with '\\x1b[2J'"},
         {"G-05", "FUGG" + std::string(64, '\0'), "big-endian"}});
}

TEST(Malformed, FilesOfOtherKindsAreNamed) {
  check({{"safetensors", le<uint64_t>(2000) + "{\"__metadata__\":{}}", "safetensors"},
         {"pytorch", "PK\x03\x04junk", "PyTorch"},
         {"pickle", "\x80\x02}q", "pickle"},
         {"ggjt", "tjgg" + std::string(60, '\1'), "old GGML file"},
         {"ggml", "lmgg" + std::string(60, '\1'), "old GGML file"},
         {"ggml reversed", "ggml" + std::string(60, '\1'), "old GGML file"},
         {"html", "<!DOCTYPE html><html>", "web page"},
         {"html", "\n  <HTML lang=en>", "web page"},
         {"lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"},
         {"json", "{\"error\":\"Repository not found\"}", "JSON text"},
         {"gzip", "\x1f\x8b\x08 0123456789", "gzip"}});
}

TEST(Malformed, Version) {
  const auto version = [](uint32_t v) { return with([v](File& f) { f.version = v; }); };
  check({{"G-06", version(0), "version at byte 4: is 0, expected 2 or 3"},
         {"G-06", version(1), "version 1"},
         {"G-06", version(4), "is 4, expected 2 or 3; the file is not supported here"},
         {"G-06", version(0xffffffff), "expected 2 or 3"},
         {"G-05", version(0x03000000), "big-endian"},
         {"G-05", version(0x02000000), "big-endian"}});
}

TEST(Malformed, Counts) {
  const auto counts = [](uint64_t tensors, uint64_t pairs) {
    return with([&](File& f) {
      f.n_tensors = tensors;
      f.n_pairs = pairs;
    });
  };
  const uint64_t n_pairs = raw::small_file().pairs.size();
  check({{"G-07", counts(kTop, n_pairs), "tensor count at byte 8: 9223372036854775808 exceeds"},
         {"G-07", counts(kMax, n_pairs), "exceeds the limit of 65536"},
         {"G-07", counts(65537, n_pairs), "exceeds the limit of 65536"},
         {"G-07", counts(65536, n_pairs), kTruncated},
         {"G-07 one too many", counts(4, n_pairs), "m.gguf: tensor 4 of 4"},
         {"G-07 one too few", counts(2, n_pairs), "padding at byte"},
         {"G-08", counts(3, kTop), "key count at byte 16"},
         {"G-08", counts(3, kMax), "exceeds the limit of 65536"},
         {"G-08", counts(3, 65536), kTruncated},
         {"G-08 one too many", counts(3, n_pairs + 1), kCorrupt},
         {"G-08 one too few", counts(3, n_pairs - 1), "m.gguf: tensor 1 of 3"}});
}

TEST(Malformed, Keys) {
  const std::string value = le<uint32_t>(4) + le<uint32_t>(1);
  check({{"G-12", with_pair(text("") + value), "is refused: it is empty"},
         {"G-12", with_pair(text(std::string(65536, 'k')) + value), "exceeds the limit of 65535"},
         {"G-12", with_pair(le(kMax) + "k" + value), "exceeds the limit of 65535"},
         {"G-12", with_pair(le<uint64_t>(60000) + "k"), kTruncated},
         {"G-13", with_pair(text(std::string("a\0b", 3)) + value), "it contains a NUL byte"},
         {"G-13", with_pair(text("a\nERROR forged") + value), "'a\\x0aERROR forged' is refused"},
         {"G-13", with_pair(text("a\xff") + value), "it is not valid UTF-8"},
         {"G-14", with_pair(pair_u32("a.u32", 1)), "'a.u32' appears twice"},
         {"G-14", with_pair(pair("a.u32", 7, std::string(1, '\1'))), "'a.u32' appears twice"}});
  EXPECT_EQ(error_of(with_pair(text(std::string(65535, 'k')) + value)), "accepted");
}

TEST(Malformed, Values) {
  const auto array = [](uint32_t kind, uint64_t n, const std::string& elements) {
    return with([&](File& f) {
      f.pairs.push_back(pair("x", 9, raw::array(kind, n, elements)));
      f.tensors.clear();
      f.data.clear();
    });
  };
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += le<uint32_t>(9) + le<uint64_t>(1);
  check({{"G-15", with_pair(pair("x", 13, "1234")), "value kind at byte"},
         {"G-15", with_pair(pair("x", 0xffffffff, "1234")), "code 4294967295 is unknown"},
         {"G-15", with_pair(pair("x", 1u << 31, "1234")), "'x': value kind"},
         {"G-16", with_pair(pair("x", 7, "\x02")), "is 2, expected 0 or 1"},
         {"G-16", array(7, 2, "\x01\x02"), "is 2, expected 0 or 1"},
         {"G-17", array(9, 1, raw::array(4, 1, "1234")), "arrays of arrays are not allowed"},
         {"G-17", array(9, 1, nested), "arrays of arrays are not allowed"},
         {"G-15", array(13, 1, "1234"), "element kind at byte"},
         {"G-18", array(4, uint64_t{1} << 61, "1234"), "array length at byte"},
         {"G-18", array(10, (64u << 20) + 1, "1234"), "exceeds the limit of 67108864"},
         {"G-18", array(4, 2, "1234567"), kTruncated},
         {"G-18", array(0, 64u << 20, "1"), kTruncated},
         {"G-18", array(8, 64u << 20, "1"), kTruncated},
         {"G-19", array(8, 2, text("one") + le<uint64_t>(100) + "two"), kTruncated},
         {"G-19", array(8, 2, text("one") + le(kTop) + "two"), "exceeds the limit of 16777216"},
         {"length", array(8, 1, le(kMax) + "two"), "exceeds the limit of 16777216"},
         {"lc#19856", with_pair(pair("x", 8, le(kTop))), "exceeds the limit of 16777216"},
         {"CVE-2024-23496", with_pair(pair("x", 8, le(kMax))), "'x': string at byte"}});
  // n x size exactly at the end is fine, one byte less is not.
  EXPECT_EQ(error_of(array(4, 2, "12345678")), "accepted");
}

TEST(Malformed, AMillionOneByteKeysAreRefusedAtOnce) {
  File file;
  const std::string value = le<uint32_t>(0) + "1";
  std::string pairs;
  for (int i = 0; i < 1'000'000; ++i) pairs += text(std::string(1, static_cast<char>(i))) + value;
  file.n_pairs = 1'000'000;
  file.pairs = {pairs};
  const std::string bytes = file.bytes();
  EXPECT_THAT(error_of(bytes), HasSubstr("1000000 exceeds the limit of 65536"));
}

TEST(Malformed, TheMostKeysAndTensorsStayWithinTheBounds) {
  File file;
  std::string pairs, tensors;
  for (uint32_t i = 0; i < 65536; ++i) {
    pairs += text(std::string(reinterpret_cast<const char*>("k")) + std::to_string(i)) +
             le<uint32_t>(0) + "1";
  }
  for (uint32_t i = 0; i < 65536; ++i) {
    tensors += tensor("t" + std::to_string(i), {32}, 24, 32ull * i);
  }
  file.n_pairs = file.n_tensors = 65536;
  file.pairs = {pairs};
  file.tensors = {tensors};
  file.data = std::string(32u * 65536, '\0');
  EXPECT_EQ(error_of(file.bytes()), "accepted");
  file.n_tensors = 65535;  // the same as 100,000 tensors of 32 bytes (G-45), but cut short
  EXPECT_THAT(error_of(file.bytes()), HasSubstr("padding"));
  file.n_tensors = 100'000;
  EXPECT_THAT(error_of(file.bytes()), HasSubstr("100000 exceeds the limit of 65536"));
}

TEST(Malformed, TheMemoryBoundHoldsForShortStrings) {
  File file;
  file.pairs = {pair("x", 9, raw::array(8, 1'000'000, std::string(8'000'000, '\0')))};
  EXPECT_EQ(error_of(file.bytes()), "accepted");
  // The worst case of the string type: just too long to be kept inside it.
  std::string elements;
  for (int i = 0; i < 300'000; ++i) elements += text("0123456789abcdef");
  file.pairs = {pair("x", 9, raw::array(8, 300'000, elements))};
  EXPECT_EQ(error_of(file.bytes()), "accepted");
}

TEST(Malformed, Alignment) {
  const auto alignment = [](uint32_t kind, const std::string& value) {
    return with_pair(pair("general.alignment", kind, value));
  };
  const char* power = "expected a power of two from 1 to 65536";
  check({{"G-22", alignment(4, le<uint32_t>(0)), power},
         {"G-22", alignment(4, le<uint32_t>(3)), power},
         {"G-22", alignment(4, le<uint32_t>(7)), power},
         {"G-22", alignment(4, le<uint32_t>(1u << 31)), power},
         {"G-22", alignment(4, le<uint32_t>(131072)), power},
         {"G-22", alignment(10, le<uint64_t>(32)), "holds uint64, expected uint32"},
         {"G-22", alignment(5, le<int32_t>(32)), "holds int32, expected uint32"},
         {"G-22", alignment(8, text("32")), "holds string, expected uint32"}});
}

TEST(Malformed, TensorNames) {
  check({{"G-34", with_tensor(tensor("", {8}, 0, 160)), "is refused: it is empty"},
         {"G-34", with_tensor(tensor(std::string(64, 'n'), {8}, 0, 160)), "the limit of 63 bytes"},
         {"G-34", with_tensor(tensor("t.q8", {8}, 0, 160)), "tensor 't.q8' appears twice"},
         {"G-34", with_tensor(tensor("../x", {8}, 0, 160)), "it looks like a path"},
         {"G-34", with_tensor(tensor(std::string("a\0b", 3), {8}, 0, 160)), "a NUL byte"},
         {"G-34", with_tensor(tensor("a\nb", {8}, 0, 160)), "a control character"}});
}

TEST(Malformed, Dimensions) {
  const std::string five = text("x") + le<uint32_t>(5) + std::string(40, '\1');
  const std::string most = text("x") + le<uint32_t>(0xffffffff) + std::string(40, '\1');
  constexpr uint64_t kSigned = kTop - 1;
  const char* overflow = "product overflows";
  check({{"G-35", with_tensor(tensor("x", {}, 0, 160) + "padding so that it fits"),
          "is 0, expected 1 to 4"},
         {"G-35", with_tensor(five), "is 5, expected 1 to 4"},
         {"G-35", with_tensor(most), "is 4294967295, expected 1 to 4"},
         {"G-36 zero", only_tensor(tensor("x", {0}, 0, 0)), "number 1 is 0"},
         {"G-36 zero", only_tensor(tensor("x", {8, 0}, 0, 0)), "number 2 is 0"},
         {"G-36 sign", only_tensor(tensor("x", {kTop}, 24, 0)), "expected 1 to 2^63 - 1"},
         {"lc#27203", only_tensor(tensor("x", {kSigned, 2, 1, 1}, 24, 0)), overflow},
         {"lc#27203", only_tensor(tensor("x", {kSigned, kSigned}, 24, 0)), overflow},
         {"G-36", only_tensor(tensor("x", {1, (uint64_t{1} << 42) + 1, uint64_t{1} << 22}, 0, 0)),
          overflow},
         {"CVE-2026-33298", only_tensor(tensor("x", {uint64_t{1} << 62, 4}, 8, 0)), overflow},
         {"wraps to small", only_tensor(tensor("x", {32, uint64_t{1} << 59}, 0, 0)), overflow},
         {"G-37", only_tensor(tensor("x", {33}, 8, 0)), "a multiple of the Q8_0 block of 32"},
         {"G-37", only_tensor(tensor("x", {128, 2}, 12, 0)), "a multiple of the Q4_K block of 256"},
         {"G-43", only_tensor(tensor("x", {8}, 2, 0)), "a multiple of the Q4_0 block of 32"}});
}

TEST(Malformed, FormatCodes) {
  check({{"G-38", only_tensor(tensor("x", {8}, 4, 0)), "code 4 was retired"},
         {"G-38", only_tensor(tensor("x", {8}, 5, 0)), "code 5 was retired"},
         {"G-38", only_tensor(tensor("x", {8}, 31, 0)), "code 31 was retired"},
         {"G-38", only_tensor(tensor("x", {8}, 0xffffffff, 0)), "code 4294967295 is unknown here"},
         {"G-38", only_tensor(tensor("x", {8}, 1000, 0)), "tensor 1 of 1 'x': format at byte"}});
}

TEST(Malformed, Offsets) {
  const auto two = [](uint64_t a, uint64_t b) {
    File file;
    file.tensors = {tensor("a", {16}, 0, a), tensor("b", {16}, 0, b)};
    file.data = std::string(128, '\x11');
    return file.bytes();
  };
  check({{"G-39 unaligned", two(0, 65), "expected a multiple of the alignment 32"},
         {"G-39 overlap", two(0, 32), "overlaps tensor 'a', which ends at 64"},
         {"G-39 same", two(0, 0), "overlaps tensor"},
         {"G-39 decreasing overlap", two(64, 32), "overlaps tensor 'b', which ends at 96"},
         {"G-39 past", two(0, 96), kCorrupt},
         {"G-39 past", two(0, 4096), "but the data has 128 bytes"},
         {"G-39 wrap", two(0, kMax - 31), kCorrupt},
         {"mlx#4136", two(0, kMax - 63), kCorrupt},
         {"G-40", only_tensor(tensor("x", {uint64_t{1} << 61}, 24, 0)), kTruncated}});
  EXPECT_EQ(error_of(two(64, 0)), "accepted");
  // Legal singly, the end of the data is missing: that is a truncation.
  File file = raw::small_file();
  file.data.resize(64 + 67);
  EXPECT_THAT(error_of(file.bytes()), HasSubstr(kTruncated));
}

TEST(Malformed, SumsOfSizesThatWrapAreRefused) {
  // Each tensor is within 2^63; laid out in order, the third offset would wrap.
  const uint64_t half = (uint64_t{1} << 62) + 32;
  File file;
  file.tensors = {tensor("a", {half}, 24, 0), tensor("b", {half}, 24, half),
                  tensor("c", {half}, 24, 2 * half), tensor("d", {half}, 24, 3 * half)};
  file.data = std::string(256, '\1');
  EXPECT_THAT(error_of(file.bytes()), HasSubstr("needs 4611686018427387936 bytes"));
}

TEST(Malformed, ASplitPartAloneIsRefused) {
  const std::string bytes = with_pair(pair("split.count", 2, le<uint16_t>(3)));
  EXPECT_THAT(error_of(bytes), HasSubstr("is one of 3 parts"));
  EXPECT_THAT(error_of(with_pair(pair("split.count", 10, le<uint64_t>(1u << 20)))),
              HasSubstr("expected at most 1024"));
  EXPECT_THAT(error_of(with_pair(pair("split.count", 8, text("3")))), HasSubstr("holds string"));
}

}  // namespace
}  // namespace quern::gguf
