// libFuzzer target: any body posted to the generating endpoints of both dialects, in front of a
// fake engine. The first byte selects the endpoint, the rest is the body.
//
// Promises: exactly one answer; never a 500; every answer is well-formed JSON in the dialect's form
// (an error object, one object, events up to [DONE], or lines); no sequence is left behind.
#include <string>
#include <vector>

#include "server/api/ollama/routes.h"
#include "server/api/openai/routes.h"
#include "tests/fuzz/require.h"
#include "tests/server/fakes/fake_engine.h"

namespace {

using quern::Json;
using quern::fuzz::require;
namespace api = quern::api;
namespace http = quern::http;

struct Endpoint {
  const char* path;
  bool openai;
  void (*handle)(const api::Catalogue& catalogue, http::Exchange& exchange);
};
constexpr Endpoint kEndpoints[] = {
    {"/v1/completions", true, api::openai::handle_completion},
    {"/v1/chat/completions", true, api::openai::handle_chat},
    {"/api/generate", false, api::ollama::handle_generate},
    {"/api/chat", false, api::ollama::handle_chat},
    {"/api/show", false, api::ollama::handle_show},
};

class Recorder final : public http::Exchange {
 public:
  Recorder(std::string path, std::string body) {
    request_.method = "POST";
    request_.path = std::move(path);
    request_.body = std::move(body);
    request_.id = "req-fuzz";
  }
  const http::Request& request() const override { return request_; }
  void send(const http::Response& response) override {
    ++n_answers;
    answer = response;
  }
  void stream(const http::Response& head, const http::StreamBody& body) override {
    ++n_answers;
    answer = head;
    streamed = true;
    whole = body([this](std::string_view piece) {
      pieces.emplace_back(piece);
      return true;
    });
  }
  bool client_gone() override { return false; }
  void note(std::string_view, http::NoteValue) override {}

  int n_answers = 0;
  http::Response answer;
  bool streamed = false;
  bool whole = false;
  std::vector<std::string> pieces;

 private:
  http::Request request_;
};

Json parsed(std::string_view text) {
  auto json = quern::parse_json(text);
  require(json.ok(), "an answer is JSON");
  return std::move(json).value();
}

void check_error(const Endpoint& endpoint, const http::Response& answer) {
  const Json body = parsed(answer.body);
  require(body.is_object() && body.contains("error"), "an error has its member");
  const Json& error = body["error"];
  const Json message = endpoint.openai ? error.value("message", Json()) : error;
  require(message.is_string() && !message.get<std::string>().empty(), "an error says why");
}

// One JSON document behind "data: ", or [DONE] at the end.
void check_events(const Recorder& recorder) {
  std::string all;
  for (const std::string& piece : recorder.pieces) all += piece;
  bool done = false;
  for (size_t at = 0; at < all.size();) {
    const size_t end = all.find("\n\n", at);
    require(end != std::string::npos && all.compare(at, 6, "data: ") == 0, "events are framed");
    const std::string data = all.substr(at + 6, end - at - 6);
    require(!done, "nothing follows [DONE]");
    done = data == "[DONE]";
    if (!done) parsed(data);
    at = end + 2;
  }
  require(done, "a stream ends with [DONE]");
}

void check_lines(const Recorder& recorder) {
  std::string all;
  for (const std::string& piece : recorder.pieces) all += piece;
  Json last;
  for (size_t at = 0; at < all.size();) {
    const size_t end = all.find('\n', at);
    require(end != std::string::npos, "a line has an end");
    last = parsed(all.substr(at, end - at));
    at = end + 1;
  }
  require(last.is_object() && last.value("done", false), "the last line says done");
}

void check(const Endpoint& endpoint, const Recorder& recorder) {
  require(recorder.n_answers == 1, "one answer per request");
  const http::Response& answer = recorder.answer;
  require(answer.status == 200 || (answer.status >= 400 && answer.status < 500),
          "a bad request is the client's error");
  for (const auto& header : answer.headers) {
    for (const char c : header.value) {
      require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F, "header values are printable");
    }
  }
  if (recorder.streamed) {
    require(answer.status == 200 && recorder.whole, "a stream that has begun is whole");
    return endpoint.openai ? check_events(recorder) : check_lines(recorder);
  }
  if (answer.status != 200) return check_error(endpoint, answer);
  require(parsed(answer.body).is_object(), "an answer is an object");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static quern::tests::FakeModel model;
  static const api::Catalogue catalogue(api::fixed_offers({model.served()}), {});
  const size_t index = static_cast<uint8_t>(data[0] - '0') % std::size(kEndpoints);
  const Endpoint& endpoint = kEndpoints[index];
  model.engine.forget();
  Recorder recorder(endpoint.path, std::string(quern::fuzz::text_of(data + 1, size - 1)));
  endpoint.handle(catalogue, recorder);
  check(endpoint, recorder);
  require(model.engine.alive() == 0, "no sequence is left behind");
  return 0;
}
