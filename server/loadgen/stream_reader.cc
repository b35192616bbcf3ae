#include "server/loadgen/stream_reader.h"

#include <algorithm>
#include <array>

#include "config/base/json.h"

namespace quern::loadgen {
namespace {

constexpr size_t kShownBytes = 200;
// Where servers put text beside "content".
constexpr std::array kDeltaTexts = {"content", "reasoning_content", "reasoning", "refusal"};

const Json* member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool has_text(const Json* value) {
  const auto* text = value == nullptr ? nullptr : value->get_ptr<const Json::string_t*>();
  return text != nullptr && !text->empty();
}

bool carries_text(const Json& choice) {
  if (has_text(member(choice, "text"))) return true;
  const Json* delta = member(choice, "delta");
  if (delta == nullptr) return false;
  const Json* calls = member(*delta, "tool_calls");
  if (calls != nullptr && !calls->empty()) return true;
  return std::any_of(kDeltaTexts.begin(), kDeltaTexts.end(),
                     [&](const char* name) { return has_text(member(*delta, name)); });
}

int64_t count_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  if (value == nullptr || !value->is_number_integer()) return 0;
  return std::max<int64_t>(0, value->get<int64_t>());
}

StreamUsage usage_of(const Json& usage) {
  StreamUsage out{count_of(usage, "prompt_tokens"), count_of(usage, "completion_tokens"), 0};
  if (const Json* details = member(usage, "prompt_tokens_details")) {
    out.cached_tokens = count_of(*details, "cached_tokens");
  }
  return out;
}

std::string beginning(std::string_view text) {
  std::string out(text.substr(0, kShownBytes));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') c = ' ';
  }
  return out;
}

// {"error": {"message": "..."}}, {"error": "..."} or {"message": "..."}.
std::string message_of(const Json& object) {
  const Json* error = member(object, "error");
  const Json* message = member(error != nullptr ? *error : object, "message");
  if (message == nullptr) message = error;
  if (message == nullptr) return "";
  return beginning(message->is_string() ? message->get<std::string>() : dump_json(*message));
}

}  // namespace

bool EventReader::feed(std::string_view bytes, std::vector<std::string>& events) {
  for (const char c : bytes) {
    const bool second_half = c == '\n' && after_cr_;
    after_cr_ = c == '\r';
    if (second_half) continue;
    if (c != '\n' && c != '\r') {
      line_.push_back(c);
      continue;
    }
    take_line(line_, events);
    line_.clear();
  }
  return line_.size() + data_.size() <= kMaxEventBytes;
}

void EventReader::take_line(std::string_view line, std::vector<std::string>& events) {
  constexpr std::string_view kField = "data:";
  if (line.empty()) {
    if (has_data_) events.push_back(std::move(data_));
    data_.clear();
    has_data_ = false;
    return;
  }
  if (!line.starts_with(kField)) return;  // a comment, or a field that says nothing here
  line.remove_prefix(kField.size());
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (has_data_) data_.push_back('\n');
  data_.append(line);
  has_data_ = true;
}

StreamEvent read_stream_event(std::string_view data) {
  StreamEvent out;
  if (data == "[DONE]") {
    out.done = true;
    return out;
  }
  const auto parsed = parse_json(data);
  const Json* choices = parsed.ok() ? member(*parsed, "choices") : nullptr;
  const Json* usage = parsed.ok() ? member(*parsed, "usage") : nullptr;
  const Json* error = parsed.ok() ? member(*parsed, "error") : nullptr;
  out.well_formed = choices != nullptr || usage != nullptr || error != nullptr;
  if (error != nullptr) out.error = message_of(*parsed);
  if (usage != nullptr) out.usage = usage_of(*usage);
  if (choices == nullptr || !choices->is_array()) return out;
  for (const Json& choice : *choices) {
    out.text = out.text || carries_text(choice);
    out.finished = out.finished || member(choice, "finish_reason") != nullptr;
  }
  return out;
}

std::string error_message(std::string_view body) {
  const auto parsed = parse_json(body);
  const std::string message = parsed.ok() ? message_of(*parsed) : "";
  return message.empty() ? beginning(body) : message;
}

}  // namespace quern::loadgen
