// The same request with and without "stream", on the demo model: text, reasons, log-probabilities,
// usage and headers of the pieces, put together, are those of the whole answer.
#include <map>
#include <random>

#include "demo_server.h"

namespace quern::api {
namespace {

using StreamTest = DemoServer;
using tests::RawResponse;

// What both forms of an OpenAI answer say.
struct Answer {
  std::vector<std::string> texts;
  std::vector<Json> logprobs;  // merged over the pieces
  std::vector<Json> reasons;
  Json usage;
  std::string model;
  std::string fingerprint;

  void resize(size_t n) {
    texts.resize(n);
    logprobs.resize(n);
    reasons.resize(n);
  }
};

// How much of a prompt was found computed is the one thing that may differ.
Json comparable(Json usage) {
  if (usage.is_object()) usage.erase("prompt_tokens_details");
  return usage;
}

Json parsed(const std::string& text) {
  auto out = parse_json(text);
  EXPECT_TRUE(out.ok()) << text;
  return out.ok() ? std::move(*out) : Json();
}

void merge(Json& all, const Json& piece) {
  if (piece.is_null()) return;
  if (all.is_null()) {
    all = piece;
    return;
  }
  for (const auto& [name, list] : piece.items()) {
    if (!list.is_array()) continue;
    for (const Json& item : list) all[name].push_back(item);
  }
}

std::string text_of(const Json& choice, bool chat, const char* container) {
  if (!chat) return choice["text"].get<std::string>();
  const Json& message = choice[container];
  return message.contains("content") ? message["content"].get<std::string>() : "";
}

Answer read_whole(const std::string& body, bool chat) {
  const Json whole = parsed(body);
  Answer out;
  const size_t n = whole["choices"].size();
  out.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const Json& choice = whole["choices"][i];
    EXPECT_EQ(choice["index"], i);
    out.texts[i] = text_of(choice, chat, "message");
    out.logprobs[i] = choice["logprobs"];
    out.reasons[i] = choice["finish_reason"];
  }
  out.usage = comparable(whole["usage"]);
  out.model = whole["model"].get<std::string>();
  out.fingerprint = whole["system_fingerprint"].get<std::string>();
  return out;
}

// The data of each event up to [DONE].
std::vector<Json> chunks_of(const std::string& body) {
  std::vector<Json> out;
  size_t at = 0;
  for (; body.compare(at, 7, "data: {") == 0; at = body.find("\n\n", at) + 2) {
    out.push_back(parsed(body.substr(at + 6, body.find("\n\n", at) - at - 6)));
  }
  EXPECT_EQ(body.substr(at), "data: [DONE]\n\n");
  return out;
}

Answer read_stream(const std::string& body, bool chat, bool with_usage) {
  Answer out;
  const std::vector<Json> chunks = chunks_of(body);
  for (const Json& chunk : chunks) {
    EXPECT_EQ(chunk["id"], chunks.front()["id"]);
    out.model = chunk["model"].get<std::string>();
    out.fingerprint = chunk["system_fingerprint"].get<std::string>();
    EXPECT_EQ(chunk.contains("usage"), with_usage);
    if (chunk["choices"].empty()) {
      EXPECT_EQ(&chunk, &chunks.back());
      out.usage = comparable(chunk["usage"]);
      continue;
    }
    if (with_usage) {
      EXPECT_TRUE(chunk["usage"].is_null());
    }
    EXPECT_EQ(chunk["choices"].size(), 1U);
    const Json& choice = chunk["choices"][0];
    const auto i = choice["index"].get<size_t>();
    if (i >= out.texts.size()) out.resize(i + 1);
    EXPECT_TRUE(out.reasons[i].is_null()) << "something follows the end of choice " << i;
    out.texts[i] += text_of(choice, chat, "delta");
    merge(out.logprobs[i], choice["logprobs"]);
    out.reasons[i] = choice["finish_reason"];
  }
  return out;
}

void expect_same(const Answer& whole, const Answer& pieces) {
  EXPECT_EQ(pieces.texts, whole.texts);
  EXPECT_EQ(pieces.reasons, whole.reasons);
  EXPECT_EQ(pieces.logprobs, whole.logprobs);
  EXPECT_EQ(pieces.model, whole.model);
  EXPECT_EQ(pieces.fingerprint, whole.fingerprint);
}

class RequestMaker {
 public:
  explicit RequestMaker(uint32_t seed) : random_(seed) {}

  Json make(bool chat) {
    Json body;
    if (chat) {
      body["messages"] = Json::array({{{"role", "user"}, {"content", prompt()}}});
      if (draw(2) == 0) {
        body["logprobs"] = true;
        if (draw(2) == 0) body["top_logprobs"] = draw(4);
      }
    } else {
      body["prompt"] = prompt();
      if (draw(4) == 0) body["prompt"] = {prompt(), prompt()};
      if (draw(2) == 0) body["logprobs"] = draw(4);
      if (draw(3) == 0) body["echo"] = true;
    }
    body["max_tokens"] = draw(8) == 0 ? 1 - draw(2) * (chat ? 0 : 1) : 1 + draw(40);
    if (draw(2) == 0) body["stop"] = stop();
    if (draw(3) == 0) body["n"] = 1 + draw(3);
    if (draw(4) == 0) body["ignore_eos"] = true;
    if (draw(4) == 0) body["frequency_penalty"] = 0.7;
    body["temperature"] = draw(3) == 0 ? 0.0 : 1.1;
    body["seed"] = draw(1000);
    return body;
  }
  int draw(uint32_t bound) { return static_cast<int>(random_() % bound); }

 private:
  std::string prompt() {
    static const char* const kPrompts[] = {"Once upon a time", "The cat", "Caf\u00e9 \U0001F600 x",
                                           "One day, a little girl named Lily found a ball."};
    return kPrompts[random_() % 4];
  }
  Json stop() {
    static const char* const kStops[] = {".", " the", "a", "was", "\n", "e t"};
    if (draw(2) == 0) return kStops[random_() % 6];
    return {kStops[random_() % 6], kStops[random_() % 6], "never said"};
  }

  std::mt19937 random_;
};

TEST_F(StreamTest, PiecesAreTheWholeAnswerInOpenAisForm) {
  serve({});
  std::map<std::string, int> reasons;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    RequestMaker maker(seed);
    const bool chat = seed % 2 == 0;
    const bool with_usage = maker.draw(2) == 0;
    Json body = maker.make(chat);
    SCOPED_TRACE(body.dump());
    const char* const path = chat ? "/v1/chat/completions" : "/v1/completions";
    const RawResponse whole = exchange(path, body.dump());
    ASSERT_EQ(whole.status, 200) << whole.body;
    body["stream"] = true;
    if (with_usage) body["stream_options"]["include_usage"] = true;
    const RawResponse pieces = exchange(path, body.dump());
    ASSERT_EQ(pieces.status, 200) << pieces.body;
    EXPECT_EQ(pieces.header("x-quern-seed"), whole.header("x-quern-seed"));
    const Answer expected = read_whole(whole.body, chat);
    const Answer streamed = read_stream(pieces.body, chat, with_usage);
    expect_same(expected, streamed);
    if (with_usage) {
      EXPECT_EQ(streamed.usage, expected.usage);
    }
    for (const Json& reason : expected.reasons) ++reasons[reason.get<std::string>()];
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(reasons["stop"], 20);
  EXPECT_GT(reasons["length"], 20);
}

TEST_F(StreamTest, PiecesAreTheWholeAnswerInOllamasForm) {
  serve({});
  for (uint32_t seed = 0; seed < 16; ++seed) {
    const bool chat = seed % 2 == 0;
    Json body;
    body["model"] = "demo";
    if (chat) {
      body["messages"] = Json::array({{{"role", "user"}, {"content", "Tell me of the red ball."}}});
    } else {
      body["prompt"] = "One day";
    }
    body["options"] = {{"seed", seed}, {"num_predict", 1 + seed * 2}};
    if (seed % 3 == 0) body["options"]["stop"] = {"a", " the"};
    SCOPED_TRACE(body.dump());
    const char* const path = chat ? "/api/chat" : "/api/generate";
    body["stream"] = false;
    Json whole = parsed(post(path, body.dump()));
    body["stream"] = true;
    const std::string lines = post(path, body.dump());
    std::string text;
    Json last;
    for (size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
      EXPECT_FALSE(last.is_object() && last["done"] == true) << "something follows the end";
      last = parsed(lines.substr(at, lines.find('\n', at) - at));
      text += (chat ? last["message"]["content"] : last["response"]).get<std::string>();
    }
    EXPECT_EQ(text, (chat ? whole["message"]["content"] : whole["response"]).get<std::string>());
    for (const char* name : {"done", "done_reason", "eval_count", "prompt_eval_count", "context"}) {
      EXPECT_EQ(last.contains(name), whole.contains(name)) << name;
      if (last.contains(name)) {
        EXPECT_EQ(last[name], whole[name]) << name;
      }
    }
  }
}

}  // namespace
}  // namespace quern::api
