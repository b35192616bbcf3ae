// The strict parser, the chunk decoder and the access rules, without sockets.
#include "server/http/head_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "server/http/access.h"
#include "server/http/body_reader.h"
#include "server/http/router.h"

namespace quern::http {
namespace {

int status_of(const std::string& head) {
  RequestHead out;
  const auto fault = parse_request_head(head, Limits{}, out);
  return fault ? fault->status : 200;
}

std::string with_header(const std::string& line) {
  return "GET / HTTP/1.1\r\nHost: localhost\r\n" + line + "\r\n\r\n";
}

TEST(HeadParser, AcceptsWhatClientsSend) {
  RequestHead head;
  const auto fault = parse_request_head(
      "POST http://[::1]:80/v1/models?x=1#f HTTP/1.1\r\nHost: other\r\nX-A:  b \t\r\n"
      "Content-Length: 12\r\nConnection: foo, CLOSE\r\n\r\n",
      Limits{}, head);
  ASSERT_FALSE(fault) << fault->message;
  EXPECT_EQ(head.path, "/v1/models");
  EXPECT_EQ(head.query, "x=1");
  EXPECT_EQ(head.host, "[::1]:80");
  EXPECT_EQ(head.content_length, 12U);
  EXPECT_FALSE(head.keep_alive);
  EXPECT_EQ(head.headers[1].value, "b");
}

TEST(HeadParser, RefusesWhatTwoParsersCouldReadDifferently) {
  const std::pair<std::string, int> cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", 400},                               // no Host
      {"GET / HTTP/1.1\nHost: a\n\n", 400},                          // bare LF
      {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},                   // two spaces
      {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},                   //
      {"GET /\r\n\r\n", 400},                                        // HTTP/0.9
      {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},                    //
      {"PRI * HTTP/2.0\r\n\r\n", 400},                               // HTTP/2 preface
      {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},                    //
      {"GET v1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},                   //
      {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400},                //
      {"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},            //
      {with_header("Host: localhost"), 400},                         // twice
      {with_header("A : b"), 400},                                   // space before colon
      {with_header("A: b\r\n folded"), 400},                         //
      {with_header(": b"), 400},                                     //
      {with_header("A"), 400},                                       //
      {with_header(std::string("A: b\0c", 6)), 400},                 // NUL
      {with_header("A: b\rc"), 400},                                 // bare CR
      {with_header("Content-Length: +5"), 400},                      //
      {with_header("Content-Length: 5, 5"), 400},                    //
      {with_header("Content-Length: 0x5"), 400},                     //
      {with_header("Content-Length: -1"), 400},                      //
      {with_header("Content-Length:"), 400},                         //
      {with_header("Content-Length: 18446744073709551616"), 400},    //
      {with_header("Content-Length: 5\r\nContent-Length: 5"), 400},  //
      {with_header("Content-Length: 5\r\nTransfer-Encoding: chunked"), 400},
      {with_header("Transfer-Encoding: xchunked"), 501},
      {with_header("Transfer-Encoding: chunked, gzip"), 501},
      {with_header("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 501},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {with_header("Expect: 200-ok"), 417},
      {"GET /" + std::string(8200, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
      {with_header("A: " + std::string(8200, 'a')), 431},
  };
  for (const auto& [head, status] : cases) {
    EXPECT_EQ(status_of(head), status) << head.substr(0, 120);
  }
  std::string many;
  for (int i = 0; i < 101; ++i) many += "A" + std::to_string(i) + ": b\r\n";
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\n" + many + "\r\n"), 431);
}

TEST(HeadParser, EmptyLinesBeforeARequestAreDropped) {
  const auto after = [](std::string buffer) {
    const bool begun = begins_request(buffer);
    return std::pair{begun, buffer};
  };
  EXPECT_EQ(after(""), std::pair(false, std::string()));
  EXPECT_EQ(after("\r"), std::pair(false, std::string("\r")));
  EXPECT_EQ(after("\r\n\r\n"), std::pair(false, std::string()));
  EXPECT_EQ(after("\r\n\r"), std::pair(false, std::string("\r")));
  EXPECT_EQ(after("\r\n\r\nG"), std::pair(true, std::string("G")));
  EXPECT_EQ(after("\rG"), std::pair(true, std::string("\rG")));
  EXPECT_EQ(after("\n"), std::pair(true, std::string("\n")));
}

TEST(HeadParser, SurvivesEveryTruncationAndEveryFlippedByte) {
  const std::string head =
      "POST /v1/completions?a=b HTTP/1.1\r\nHost: localhost:80\r\nContent-Length: 2\r\n"
      "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
  for (size_t i = 0; i < head.size(); ++i) {
    status_of(head.substr(0, i));
    for (const char c : std::string("\0\r\n :\x7f\xff", 7)) {
      std::string flipped = head;
      flipped[i] = c;
      status_of(flipped);
    }
  }
}

TEST(HeadScan, FindsTheEndAtAnySplit) {
  const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    size_t scanned = 0;
    size_t head_bytes = 0;
    const auto first =
        scan_head(std::string_view(bytes).substr(0, cut), Limits{}, scanned, head_bytes);
    const auto second =
        first == HeadProgress::kComplete ? first : scan_head(bytes, Limits{}, scanned, head_bytes);
    EXPECT_EQ(second, HeadProgress::kComplete);
    EXPECT_EQ(head_bytes, bytes.size() - 4);
  }
}

// The body, or the status of the fault, or "more".
std::string decode_chunks(const std::string& wire, size_t piece) {
  const Limits limits;
  ChunkDecoder decoder(limits);
  std::string buffer;
  std::string body;
  for (size_t at = 0; at < wire.size() && !decoder.done(); at += piece) {
    buffer += wire.substr(at, piece);
    if (const auto fault = decoder.feed(buffer, body)) return std::to_string(fault->status);
  }
  return decoder.done() ? body : "more";
}

TEST(ChunkDecoder, DecodesAtAnySplitAndRefusesOddities) {
  const std::pair<std::string, std::string> cases[] = {
      {"5\r\nhello\r\n0\r\n\r\n", "hello"},
      {"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n", "hello"},
      {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
      {"-2\r\nhello\r\n0\r\n\r\n", "400"},
      {"+5\r\nhello\r\n0\r\n\r\n", "400"},
      {"0x5\r\nhello\r\n0\r\n\r\n", "400"},
      {"00000000000000005\r\nhello\r\n0\r\n\r\n", "400"},
      {"\r\nhello", "400"},
      {"5\nhello\n0\n\n", "400"},
      {"5\r\nhelloX\r\n", "400"},
      {"ffffffff\r\n", "413"},
      {"1;" + std::string(9000, 'x'), "400"},
      {"1;" + std::string(9000, 'x') + "\r\na\r\n0\r\n\r\n", "400"},
      {"0\r\nbad trailer\r\n\r\n", "400"},
      {"5\r\nhel", "more"},
  };
  for (const auto& [wire, expected] : cases) {
    for (const size_t piece : {size_t{1}, size_t{3}, wire.size()}) {
      if (piece == 1 && wire.size() > 1000) continue;
      EXPECT_EQ(decode_chunks(wire, piece), expected) << wire.substr(0, 40) << " by " << piece;
    }
  }
}

TEST(Access, HostNamesOfThisMachineOnly) {
  AccessPolicy policy;
  policy.allowed_hosts = {"quern.test"};
  for (const char* host : {"localhost", "LOCALHOST:8080", "127.0.0.1", "127.1.2.3:80", "[::1]",
                           "[::1]:8080", "a.localhost", "quern.test:1"}) {
    EXPECT_TRUE(host_allowed(policy, host)) << host;
  }
  for (const char* host :
       {"", ":11434", "attacker.test", "127.0.0.1.evil.test", "localhost.evil.test", "localhost.",
        "user@localhost", "127.0.0.1:x", "127.0.0", "0127.0.0.1", "127.0.0.256", "2130706433",
        "[::2]", ".localhost", "localhost:123456"}) {
    EXPECT_FALSE(host_allowed(policy, host)) << host;
  }
}

TEST(Access, OriginsOfThisMachineOnly) {
  AccessPolicy policy;
  policy.allowed_origins = {"https://ui.test"};
  for (const char* origin : {"http://localhost:3000", "https://127.0.0.1", "http://[::1]:5",
                             "https://ui.test", "http://own.test:80"}) {
    EXPECT_TRUE(origin_allowed(policy, origin, "own.test:80")) << origin;
  }
  for (const char* origin : {"null", "file://", "https://evil.test", "http://localhost.evil.test",
                             "http://ui.test", "https://ui.test.evil", "app://x", ""}) {
    EXPECT_FALSE(origin_allowed(policy, origin, "own.test:80")) << origin;
  }
}

TEST(Access, Keys) {
  AccessPolicy policy;
  policy.api_keys = {"secret", "other"};
  const auto accepted = [&](Headers headers) { return key_accepted(policy, headers); };
  EXPECT_TRUE(accepted({{"authorization", "Bearer secret"}}));
  EXPECT_TRUE(accepted({{"authorization", "bearer other"}}));
  EXPECT_TRUE(accepted({{"x-api-key", "secret"}}));
  EXPECT_FALSE(accepted({}));
  EXPECT_FALSE(accepted({{"authorization", "Bearer secre"}}));
  EXPECT_FALSE(accepted({{"authorization", "Bearer secrets"}}));
  EXPECT_FALSE(accepted({{"authorization", "Bearer secretsecret"}}));
  EXPECT_FALSE(accepted({{"authorization", "Basic secret"}}));
  EXPECT_FALSE(accepted({{"authorization", "Bearer secret"}, {"authorization", "Bearer x"}}));
  EXPECT_FALSE(accepted({{"authorization", "Bearer "}}));
  EXPECT_EQ(accepted_key(policy, {{"x-api-key", "secret"}}), 0U);
  EXPECT_EQ(accepted_key(policy, {{"x-api-key", "other"}}), 1U);
  policy.api_keys.clear();
  EXPECT_TRUE(accepted({{"authorization", "Bearer anything"}}));
}

TEST(Router, MatchesPathsAsSent) {
  Router router;
  router.add({"GET", "/v1/models", nullptr});
  router.add({"GET", "/v1/models/*", nullptr});
  router.add({"POST", "/api/chat", nullptr});
  EXPECT_NE(router.match("GET", "/v1/models").route, nullptr);
  EXPECT_NE(router.match("HEAD", "/v1/models").route, nullptr);
  EXPECT_EQ(router.match("GET", "/v1/models/a%2Fb:c").rest, "a/b:c");
  EXPECT_TRUE(router.match("GET", "/v1/models/%00").bad_escape);
  EXPECT_EQ(router.match("GET", "/v1/models/").route, nullptr);
  EXPECT_EQ(router.match("GET", "//v1/models").route, nullptr);
  EXPECT_EQ(router.match("GET", "/v1/%6dodels").route, nullptr);
  EXPECT_EQ(router.match("GET", "/api/chat").allow, "POST");
}

}  // namespace
}  // namespace quern::http
