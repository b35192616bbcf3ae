// Files that are no sound safetensors: each is refused with the right sentence; mutations of a
// sound one by the thousand are refused or can be read in full. Run under AddressSanitizer by
// `dev`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "models/safetensors/checkpoint.h"
#include "tests/models/safetensors/raw_safetensors.h"

namespace quern::safetensors {
namespace {

using raw::entry;
using raw::file;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kTruncated[] = "the file is truncated: download it again";
constexpr char kCorrupt[] = "the file is corrupt: download it again";

struct Case {
  std::string bytes;
  const char* fragment;
};

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const auto opened = Checkpoint::from_bytes(raw::as_bytes(c.bytes), "m.safetensors");
    const std::string message = opened.ok() ? "accepted" : opened.error().message();
    EXPECT_THAT(message, HasSubstr(c.fragment));
    EXPECT_THAT(message, StartsWith("m.safetensors: "));
    for (const char letter : message) EXPECT_GE(static_cast<unsigned char>(letter), 0x20);
  }
}

std::string one(const std::string& tensor, size_t n_bytes) {
  return file("{" + tensor + "}", std::string(n_bytes, 'x'));
}

TEST(Malformed, Length) {
  const std::string huge = raw::le(~uint64_t{0}) + "{}";
  check({{"", "the file is empty"},
         {"abc", "not a safetensors file"},
         {raw::le(2), "not a safetensors file"},
         {raw::le(2) + "[]", "not a safetensors file"},
         {raw::le(3) + "{}", kTruncated},
         {raw::le(1) + "{}", "header"},
         {raw::le(0) + "{}", "header"},
         {huge, "exceeds the limit of 33554432"},
         {raw::le((32u << 20) + 1) + "{}", "exceeds the limit of 33554432"},
         {raw::le(uint64_t{1} << 63) + "{}", "exceeds the limit"}});
}

TEST(Malformed, FilesOfOtherKindsAreNamed) {
  check({{"GGUF" + std::string(60, '\1'), "a GGUF file"},
         {"PK\x03\x04" + std::string(60, '\1'), "PyTorch"},
         {"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
         {"<!DOCTYPE html><html>", "web page"}});
}

TEST(Malformed, Header) {
  check({{file("{", ""), "malformed"},
         {file("{}x", ""), "malformed"},
         {file("{\"a\":1}", ""), "tensor 'a' has no dtype"},
         {file("{\"a\":{}}", ""), "tensor 'a' has no dtype"},
         {file("{\"a\":[[[[[1]]]]]}", ""), "nested deeper"},
         {file("{\"__metadata__\":1}", ""), "__metadata__"},
         {file("{\"__metadata__\":{\"a\":1}}", ""), "no text"},
         {one(entry("a", "U8", "[1]", 0, 1) + "," + entry("a", "U8", "[1]", 0, 1), 1), "twice"},
         {one(entry("\\u001b[2J", "U8", "[1]", 0, 1), 1), "control character"},
         {one(entry("", "U8", "[1]", 0, 1), 1), "is refused"},
         {one(entry(std::string(600, 'n'), "U8", "[1]", 0, 1), 1), "too long"}});
}

TEST(Malformed, TypesAndShapes) {
  check({{one(entry("a", "F4", "[2]", 0, 1), 1), "dtype 'F4'; expected one of BOOL, U8"},
         {one(entry("a", "f32", "[1]", 0, 4), 4), "dtype 'f32'"},
         {one(entry("a", "U8", "1", 0, 1), 1), "no list"},
         {one(entry("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1), 1), "up to 8 dimensions"},
         {one(entry("a", "U8", "[-1]", 0, 1), 1), "no whole number"},
         {one(entry("a", "U8", "[1.0]", 0, 1), 1), "no whole number"},
         {one(entry("a", "U8", "[18446744073709551616]", 0, 1), 1), "no whole number"},
         {one(entry("a", "F32", "[2,3]", 0, 20), 20), "F32 [2, 3], which needs 24 bytes"},
         {one(entry("a", "U8", "[4294967296,4294967297]", 0, 1), 1), "needs too many bytes"},
         {one(entry("a", "F64", "[2305843009213693953]", 0, 8), 8), "needs too many bytes"},
         {one(entry("a", "U8", "[0,18446744073709551615,2]", 0, 1), 1), "needs 0 bytes"}});
}

TEST(Malformed, Ranges) {
  const std::string a = entry("a", "U8", "[4]", 0, 4);
  check({{one(entry("a", "U8", "[4]", 4, 0), 4), "no pair of rising"},
         {one("\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}", 1), "no pair"},
         {one("\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}", 1), "no pair"},
         {one(a, 3), kTruncated},
         {one(entry("a", "U8", "[1]", ~uint64_t{0} - 1, ~uint64_t{0}), 4), kTruncated},
         {one(a, 5), "1 bytes after the last tensor belong to none"},
         {one(entry("a", "U8", "[4]", 1, 5), 5), "'a' leaves a gap"},
         {one(a + "," + entry("b", "U8", "[4]", 5, 9), 9), "'b' leaves a gap"},
         {one(a + "," + entry("b", "U8", "[4]", 3, 7), 7), "'b' shares bytes"},
         {one(a + "," + entry("b", "U8", "[4]", 0, 4), 4), "'b' shares bytes"},
         {one(a + "," + entry("b", "U8", "[2]", 1, 3), 4), "'b' shares bytes"},
         {one(a + "," + entry("b", "U8", "[0]", 2, 2), 4), "'b' shares bytes"},
         {one(a, 5), kCorrupt}});
}

// Parses a copy whose allocation ends with the last byte, so that reading past it is caught.
bool accepted(std::string_view bytes) {
  const std::unique_ptr<std::byte[]> exact(new std::byte[bytes.size()]);
  std::copy_n(raw::as_bytes(bytes).data(), bytes.size(), exact.get());
  const auto opened = Checkpoint::from_bytes({exact.get(), bytes.size()}, "m");
  if (!opened.ok()) {
    EXPECT_FALSE(opened.error().message().empty());
    return false;
  }
  volatile unsigned sum = 0;
  for (const Tensor& tensor : (*opened)->tensors()) {
    EXPECT_EQ((*opened)->find(tensor.name), &tensor);
    for (const std::byte b : tensor.data) sum = sum + static_cast<unsigned>(b);
  }
  return true;
}

TEST(Malformed, EveryTruncationIsRefused) {
  const std::string whole = raw::small_file();
  ASSERT_TRUE(accepted(whole));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(accepted(std::string_view(whole).substr(0, size))) << size;
  }
  EXPECT_FALSE(accepted(whole + "x"));
}

TEST(Malformed, FlippedBytesAreRefusedOrHarmless) {
  const std::string whole = raw::small_file();
  size_t n_accepted = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      n_accepted += accepted(changed) ? 1 : 0;
    }
  }
  // Flips in the data and in names are none of the reader's business.
  EXPECT_GE(n_accepted, 28u * 8u);
}

}  // namespace
}  // namespace quern::safetensors
