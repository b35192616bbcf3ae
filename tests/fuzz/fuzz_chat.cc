// libFuzzer target: a chat template from a model file and a conversation from a client. The input
// is the template, a zero byte, and JSON: an array of messages, or an object with "messages",
// "tools" and further variables. Without JSON a conversation of our own is used.
//
// Promises: any template is refused or rendered within its bounds; the same input gives the same
// segments; what a client wrote is never in a segment of the template's.
#include <algorithm>
#include <string>

#include "models/chat/chat_template.h"
#include "tests/fuzz/require.h"

namespace {

using quern::Json;
using quern::chat::ChatTemplate;
using quern::chat::RenderInput;
using quern::fuzz::require;

// Not in any seed or dictionary: a template can only get it from a message.
constexpr std::string_view kMark = "QZJXWVKQ";

Json default_messages() {
  return Json::array({{{"role", "system"}, {"content", "Be " + std::string(kMark)}},
                      {{"role", "user"}, {"content", std::string(kMark) + " hello\nthere "}},
                      {{"role", "assistant"}, {"content", "Hi"}},
                      {{"role", "user"}, {"content", std::string(kMark)}}});
}

RenderInput input_of(std::string_view json) {
  RenderInput input;
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  input.messages = default_messages();
  auto given = quern::parse_json(json);
  if (!given.ok()) return input;
  if (given->is_array()) {
    input.messages = std::move(given).value();
  } else if (given->is_object()) {
    for (const auto& [key, value] : given->items()) {
      if (key == "messages") {
        input.messages = value;
      } else if (key == "tools") {
        input.tools = value;
      } else {
        input.extra[key] = value;
      }
    }
  }
  return input;
}

void check_error(const quern::Error& error) {
  require(error.message().starts_with("Chat template"), "an error says what it is about");
}

void check_render(const ChatTemplate& chat_template, const RenderInput& input, bool marked) {
  const auto text = chat_template.render_text(input);
  const auto segments = chat_template.render(input);
  require(text.ok() == segments.ok(), "both forms of rendering agree");
  if (!text.ok()) return check_error(text.error());
  std::string joined;
  bool first = true;
  bool from_user = false;
  for (const auto& segment : *segments) {
    require(!segment.text.empty(), "no segment is empty");
    require(first || segment.from_user != from_user, "neighbours of one kind are merged");
    require(marked || segment.from_user || segment.text.find(kMark) == std::string::npos,
            "a client's text is marked as such");
    first = false;
    from_user = segment.from_user;
    joined += segment.text;
  }
  require(joined == *text, "segments are the text");
  require(joined.size() <= (size_t{2} << 20), "the output is bounded");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = quern::fuzz::text_of(data, size);
  const size_t zero = std::min(bytes.find('\0'), bytes.size());
  const std::string source(bytes.substr(0, zero));
  const auto chat_template = ChatTemplate::parse(source);
  if (!chat_template.ok()) {
    check_error(chat_template.error());
    return 0;
  }
  const bool marked = source.find(kMark) != std::string::npos;
  const std::string_view json = bytes.substr(std::min(zero + 1, bytes.size()));
  check_render(**chat_template, input_of(json), marked);
  return 0;
}
