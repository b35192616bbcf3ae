// The reproducibility contract through HTTP, on the demo model: the bytes of an answer are the same
// alone and in a crowd, with computed prompts and without, from any key; and what usage says about
// computed prompts is true.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "demo_server.h"

namespace quern::api {
namespace {

using tests::RawClient;

// What of an answer must not change from one time to the next.
std::string essence(const std::string& body) {
  auto parsed = parse_json(body);
  if (!parsed.ok()) return "not JSON: " + body.substr(0, 200);
  parsed->erase("id");
  parsed->erase("created");
  if (parsed->contains("usage")) (*parsed)["usage"].erase("prompt_tokens_details");
  return parsed->dump();
}

using CrowdTest = DemoServer;

std::string request(uint32_t seed) {
  static const char* const kBeginnings[] = {
      "Once upon a time", "One day, a little girl named Lily found",
      "The big dog was very sad because he could not find his red ball. He looked in the house, "
      "in the garden and under the old tree, and then he asked his friend the cat: "};
  Json body;
  body["prompt"] = kBeginnings[seed % 3];
  body["seed"] = seed;
  body["max_tokens"] = 20 + seed % 30;
  body["temperature"] = seed % 4 == 0 ? 0.0 : 0.9;
  if (seed % 5 == 0) body["logprobs"] = 2;
  if (seed % 6 == 0) body["n"] = 3;
  return body.dump();
}

TEST_F(CrowdTest, AnswersAreTheSameAloneAndInACrowd) {
  constexpr uint32_t kRequests = 12;
  engine::EngineOptions cold;
  cold.idle_prompt_bytes = 0;
  serve(cold);
  std::vector<std::string> alone;
  for (uint32_t seed = 0; seed < kRequests; ++seed) {
    alone.push_back(essence(post("/v1/completions", request(seed))));
    ASSERT_NE(alone.back().find("choices"), std::string::npos) << alone.back();
  }
  engine::EngineOptions tight;
  tight.context_tokens = 256;
  tight.kv_bytes = 14 * graph::KvStorage::bytes_per_page(*model_->weights(), tight.kv_format);
  engine::EngineOptions roomy;
  roomy.max_step_tokens = 24;
  for (const engine::EngineOptions& options : {roomy, tight}) {
    serve(options);
    for (int round = 0; round < 2; ++round) {  // cold and hot
      std::vector<std::thread> clients;
      std::vector<std::string> answers(kRequests);
      for (uint32_t seed = 0; seed < kRequests; ++seed) {
        clients.emplace_back(
            [&, seed] { answers[seed] = essence(post("/v1/completions", request(seed))); });
        clients.emplace_back([&, seed] { post("/v1/completions", request(100 + seed)); });
        clients.emplace_back([&, seed] {  // one that leaves
          RawClient client(app_->port());
          const std::string body = request(200 + seed);
          client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                      std::to_string(body.size()) + "\r\n\r\n" + body);
          std::this_thread::sleep_for(std::chrono::milliseconds(seed * 7));
          client.close();
        });
      }
      for (std::thread& client : clients) client.join();
      for (uint32_t seed = 0; seed < kRequests; ++seed) EXPECT_EQ(answers[seed], alone[seed]);
    }
    EXPECT_GT(engine_->stats().cached_tokens, 100U);
  }
  EXPECT_GT(engine_->stats().kv_pages_evicted, 0U);
}

// Through HTTP, streamed and not: what a shift and a cut prompt say, and that the answer to a cut
// conversation is that to the conversation without the dropped messages.
TEST_F(CrowdTest, CutPromptsAndShiftsAreNamedAndAnswerLikeWhatIsLeft) {
  engine::EngineOptions options;
  options.context_tokens = 128;
  serve(options);
  Json body;
  body["prompt"] = "Once upon a time";
  body["max_tokens"] = 300;
  body["seed"] = 4;
  body["ignore_eos"] = true;
  body["context_overflow"] = "shift";
  const auto whole = parse_json(post("/v1/completions", body.dump()));
  ASSERT_TRUE(whole.ok());
  const Json& shifted = (*whole)["context_overflow"]["shifted"];
  EXPECT_EQ((*whole)["usage"]["completion_tokens"], 300);
  EXPECT_GT(shifted.value("times", 0), 2) << whole->dump();
  EXPECT_GE(shifted.value("dropped_tokens", 0), shifted.value("times", 0) * 60);
  body["stream"] = true;
  const std::string streamed = post("/v1/completions", body.dump());
  std::string text;
  for (size_t at = streamed.find("data: {"); at != std::string::npos;
       at = streamed.find("data: {", at + 1)) {
    const auto chunk = parse_json(streamed.substr(at + 6, streamed.find('\n', at) - at - 6));
    ASSERT_TRUE(chunk.ok());
    const Json& choice = (*chunk)["choices"][0];
    text += choice["text"].get<std::string>();
    EXPECT_EQ(chunk->contains("context_overflow"), !choice["finish_reason"].is_null());
    if (!chunk->contains("context_overflow")) continue;
    EXPECT_EQ((*chunk)["context_overflow"]["shifted"], shifted);
  }
  EXPECT_EQ(text, (*whole)["choices"][0]["text"].get<std::string>());

  Json generate;
  generate["model"] = "demo";
  generate["prompt"] = "Once upon a time";
  generate["shift"] = true;
  generate["stream"] = false;
  generate["options"] = {{"seed", 4}, {"num_predict", 300}, {"num_keep", 2}, {"temperature", 1.5}};
  const auto generated = parse_json(post("/api/generate", generate.dump()));
  ASSERT_TRUE(generated.ok());
  const int n_tokens = generated->value("prompt_eval_count", 0) + generated->value("eval_count", 0);
  EXPECT_EQ(generated->contains("context_overflow"), n_tokens > 128) << generated->dump();
  EXPECT_EQ((*generated)["eval_count"] == 300, (*generated)["done_reason"] == "length");

  const auto message = [](const char* role, const std::string& content) {
    return Json{{"role", role}, {"content", content}};
  };
  const std::string tale =
      "The cat was big and the dog was small and the bird sang in the garden. They liked to play "
      "with a red ball in the park, and then they went home to their mom and ate an apple. ";
  Json chat;
  chat["model"] = "demo";
  chat["stream"] = false;
  chat["options"] = {{"seed", 5}, {"num_predict", 20}};
  chat["messages"] = {message("system", "Be kind."),
                      message("user", tale),
                      message("assistant", tale),
                      message("user", "Tell me more about the bird in the big tree, please."),
                      message("assistant", "The bird had a red ball and liked to play."),
                      message("user", "And the ball?")};
  EXPECT_NE(post("/api/chat", chat.dump()).find("the context holds 128"), std::string::npos);
  chat["truncate"] = true;
  const auto cut = parse_json(post("/api/chat", chat.dump()));
  ASSERT_TRUE(cut.ok());
  const Json& truncated = (*cut)["context_overflow"]["truncated"];
  const auto n_dropped = truncated.value("dropped_messages", 0);
  ASSERT_TRUE(n_dropped == 2 || n_dropped == 4) << cut->dump();
  chat["messages"].erase(chat["messages"].begin() + 1, chat["messages"].begin() + 1 + n_dropped);
  const auto rest = parse_json(post("/api/chat", chat.dump()));
  ASSERT_TRUE(rest.ok());
  EXPECT_FALSE(rest->contains("context_overflow"));
  EXPECT_EQ((*rest)["message"], (*cut)["message"]);
  EXPECT_EQ((*rest)["prompt_eval_count"], (*cut)["prompt_eval_count"]);
}

TEST_F(CrowdTest, UsageTellsWhatWasFoundComputed) {
  serve({});
  Json body;
  body["prompt"] =
      "The big dog was very sad because he could not find his red ball. He looked in "
      "the house, in the garden and under the old tree.";
  body["max_tokens"] = 3;
  const auto usage = [&](const std::string& headers = "") {
    auto parsed = parse_json(post("/v1/completions", body.dump(), headers));
    return parsed.ok() ? (*parsed)["usage"] : Json();
  };
  const Json cold = usage();
  const Json hot = usage();
  EXPECT_EQ(cold["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_GE(hot["prompt_tokens_details"]["cached_tokens"], 32);
  EXPECT_EQ(cold["prompt_tokens"], hot["prompt_tokens"]);
  // Ollama counts computed and found tokens together.
  Json generate;
  generate["model"] = "demo";
  generate["prompt"] = body["prompt"];
  generate["raw"] = true;
  generate["stream"] = false;
  generate["options"]["num_predict"] = 3;
  const auto answer = parse_json(post("/api/generate", generate.dump()));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ((*answer)["prompt_eval_count"], hot["prompt_tokens"]);

  serve({}, {"key one", "key two"});
  usage("Authorization: Bearer key one\r\n");
  EXPECT_EQ(usage("Authorization: Bearer key two\r\n")["prompt_tokens_details"]["cached_tokens"],
            0);
  EXPECT_GE(usage("Authorization: Bearer key one\r\n")["prompt_tokens_details"]["cached_tokens"],
            32);
}

TEST_F(CrowdTest, ChoicesComeFromOnePromptComputation) {
  serve({});
  Json body;
  body["messages"] = Json::array({{{"role", "user"}, {"content", "Tell me about the red ball."}}});
  body["n"] = 4;
  body["seed"] = 5;
  body["max_tokens"] = 8;
  const auto parsed = parse_json(post("/v1/chat/completions", body.dump()));
  ASSERT_TRUE(parsed.ok());
  ASSERT_EQ((*parsed)["choices"].size(), 4U);
  EXPECT_EQ(engine_->stats().prompt_tokens, (*parsed)["usage"]["prompt_tokens"].get<uint64_t>());
  for (int i = 0; i < 4; ++i) {
    Json one = body;
    one["n"] = 1;
    one["seed"] = 5 + i;
    const auto single = parse_json(post("/v1/chat/completions", one.dump()));
    ASSERT_TRUE(single.ok());
    EXPECT_EQ((*single)["choices"][0]["message"]["content"],
              (*parsed)["choices"][static_cast<size_t>(i)]["message"]["content"]);
  }
}

TEST_F(CrowdTest, BestOfIsTheLikeliestOfThem) {
  serve({});
  Json body;
  body["prompt"] = "One day, a little girl named Lily found";
  body["n"] = 6;
  body["seed"] = 11;
  body["max_tokens"] = 12;
  body["logprobs"] = 0;
  const auto all = parse_json(post("/v1/completions", body.dump()));
  ASSERT_TRUE(all.ok());
  double best = -1e9;
  std::string text;
  for (const Json& choice : (*all)["choices"]) {
    double sum = 0;
    for (const Json& logprob : choice["logprobs"]["token_logprobs"]) sum += logprob.get<double>();
    if (sum <= best) continue;
    best = sum;
    text = choice["text"].get<std::string>();
  }
  body["n"] = 1;
  body["best_of"] = 6;
  body.erase("logprobs");
  const auto chosen = parse_json(post("/v1/completions", body.dump()));
  ASSERT_TRUE(chosen.ok());
  ASSERT_EQ((*chosen)["choices"].size(), 1U);
  EXPECT_EQ((*chosen)["choices"][0]["text"], text);
}

}  // namespace
}  // namespace quern::api
