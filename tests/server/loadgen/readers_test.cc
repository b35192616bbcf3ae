// Answers as bytes, in pieces of every size, well-formed and not.
#include <gtest/gtest.h>

#include "server/loadgen/response_reader.h"
#include "server/loadgen/stream_reader.h"

namespace quern::loadgen {
namespace {

struct Read {
  std::string body;
  ResponseReader reader;
};

Read read(std::string_view answer, size_t piece, bool close = true) {
  Read out;
  for (size_t at = 0; at < answer.size(); at += piece) {
    out.reader.feed(answer.substr(at, piece), out.body);
  }
  if (close) out.reader.close();
  return out;
}

TEST(ResponseReader, ReadsBodiesOfEveryKindInPiecesOfEverySize) {
  for (const std::string_view answer :
       {"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nContent-Length: 11"
        "\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\ntrailer: 1\r\n\r\n",
        "HTTP/1.0 200\r\nContent-Type:text/event-stream\r\n\r\nhello world",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nContent-Type: text/event-stream\n\n"
        "hello world"}) {
    for (size_t piece = 1; piece <= answer.size(); ++piece) {
      const Read out = read(answer, piece);
      ASSERT_EQ(out.body, "hello world") << answer << " by " << piece;
      ASSERT_TRUE(out.reader.done());
      ASSERT_EQ(out.reader.status(), 200);
      ASSERT_EQ(out.reader.content_type(), "text/event-stream");
    }
  }
}

TEST(ResponseReader, KnowsTheEndWithoutAClose) {
  EXPECT_TRUE(read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", 100, false).reader.done());
  EXPECT_TRUE(read("HTTP/1.1 204 None\r\n\r\n", 100, false).reader.done());
  EXPECT_FALSE(read("HTTP/1.1 200 OK\r\n\r\nab", 100, false).reader.done());
}

TEST(ResponseReader, NamesWhatIsWrong) {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  for (const std::string& answer : std::vector<std::string>{
           "SSH-2.0-OpenSSH", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
           "HTTP/1.1 20\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", head + "no colon\r\n\r\n",
           head + "Content-Length: x\r\n\r\n", head + "Content-Length: -1\r\n\r\n",
           head + "Transfer-Encoding: gzip\r\n\r\n",
           head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
           head + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
           head + "X: " + std::string(20000, 'a'),
           head + "Transfer-Encoding: chunked\r\n\r\n" + std::string(20000, '1')}) {
    const Read out = read(answer, 7, false);
    EXPECT_FALSE(out.reader.fault().empty()) << answer.substr(0, 80);
    EXPECT_FALSE(out.reader.done());
  }
  std::string endless = head;
  for (int i = 0; i < 10000; ++i) endless += "x: yyyyyy\r\n";
  EXPECT_FALSE(read(endless, 1000, false).reader.fault().empty());
}

TEST(ResponseReader, AnEarlyCloseIsNoEnd) {
  for (const char* answer :
       {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"}) {
    EXPECT_FALSE(read(answer, 100).reader.fault().empty()) << answer;
  }
}

std::vector<std::string> events_of(std::string_view stream, size_t piece) {
  EventReader reader;
  std::vector<std::string> out;
  for (size_t at = 0; at < stream.size(); at += piece) {
    EXPECT_TRUE(reader.feed(stream.substr(at, piece), out));
  }
  return out;
}

TEST(EventReader, CutsStreamsHoweverTheyArrive) {
  const std::vector<std::string> expected = {"one", "two\nlines", "", "three"};
  for (const std::string_view stream :
       {"data: one\n\n: a comment\n\ndata:two\ndata: lines\n\ndata:\n\nevent: x\ndata: three\n\n",
        "data: one\r\n\r\ndata: two\r\ndata: lines\r\n\r\ndata: \r\n\r\ndata: three\r\nid: 7\r\n"
        "\r\ndata: unfinished\r\n",
        "data: one\r\rdata: two\rdata: lines\r\rdata:\r\rdata: three\r\r"}) {
    for (size_t piece = 1; piece <= stream.size(); ++piece) {
      ASSERT_EQ(events_of(stream, piece), expected) << stream << " by " << piece;
    }
  }
}

TEST(EventReader, BoundsAnEvent) {
  EventReader reader;
  std::vector<std::string> events;
  const std::string line = "data: " + std::string(1 << 20, 'x') + "\n";
  bool bounded = true;
  for (int i = 0; i < 20 && bounded; ++i) bounded = reader.feed(line, events);
  EXPECT_FALSE(bounded);
}

TEST(StreamEvent, UnderstandsBothEndpoints) {
  const StreamEvent text = read_stream_event(R"({"choices":[{"text":"a","finish_reason":null}]})");
  EXPECT_TRUE(text.well_formed && text.text && !text.finished && !text.done && !text.usage);
  const StreamEvent role = read_stream_event(
      R"({"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]})");
  EXPECT_TRUE(role.well_formed && !role.text);
  const StreamEvent delta = read_stream_event(R"({"choices":[{"delta":{"content":"a"}}]})");
  EXPECT_TRUE(delta.text);
  EXPECT_TRUE(read_stream_event(R"({"choices":[{"delta":{"reasoning_content":"a"}}]})").text);
  EXPECT_TRUE(read_stream_event(R"({"choices":[{"delta":{"tool_calls":[{"index":0}]}}]})").text);
  const StreamEvent end =
      read_stream_event(R"({"choices":[{"delta":{},"finish_reason":"length"}],"usage":null})");
  EXPECT_TRUE(end.finished && !end.text && !end.usage);
  const StreamEvent usage =
      read_stream_event(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,)"
                        R"("prompt_tokens_details":{"cached_tokens":2}}})");
  ASSERT_TRUE(usage.usage.has_value());
  EXPECT_EQ(usage.usage->prompt_tokens, 3);
  EXPECT_EQ(usage.usage->completion_tokens, 4);
  EXPECT_EQ(usage.usage->cached_tokens, 2);
  EXPECT_TRUE(read_stream_event("[DONE]").done);
}

TEST(StreamEvent, KnowsErrorsAndNonsense) {
  EXPECT_EQ(read_stream_event(R"({"error":{"message":"no","code":5}})").error, "no");
  EXPECT_EQ(read_stream_event(R"({"error":"no"})").error, "no");
  EXPECT_EQ(read_stream_event(R"({"error":{"code":5}})").error, R"({"code":5})");
  for (const char* data : {"", "x", "[]", "{}", "3", "null", "[done]", R"({"text":"a"})"}) {
    EXPECT_FALSE(read_stream_event(data).well_formed) << data;
  }
  EXPECT_EQ(error_message(R"({"error":{"message":"full\nnow"}})"), "full now");
  EXPECT_EQ(error_message(R"({"message":"full"})"), "full");
  EXPECT_EQ(error_message("<html>\x01"), "<html> ");
}

}  // namespace
}  // namespace quern::loadgen
