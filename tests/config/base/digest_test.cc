// Against the published examples of SHA-256 (FIPS 180-4 and NIST's test vectors).
#include "config/base/digest.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(Sha256, PublishedExamples) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, PartsAreOneText) {
  Sha256 parts;
  parts.add("a").add("").add("bc");
  EXPECT_EQ(to_hex(parts.finish()), sha256_hex("abc"));
  EXPECT_EQ(Sha256().add_number(0x0807060504030201ULL).finish(),
            Sha256().add("\x01\x02\x03\x04\x05\x06\x07\x08").finish());
}

}  // namespace
}  // namespace quern
