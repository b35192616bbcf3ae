#include "server/loadgen/workload.h"

#include <algorithm>
#include <array>

namespace quern::loadgen {
namespace {

// Common words, one token each in most vocabularies.
constexpr std::array<std::string_view, 64> kWords = {
    "the",  "of",   "and",   "to",    "in",   "is",   "that", "for",  "it",    "was",   "on",
    "are",  "as",   "with",  "they",  "at",   "be",   "this", "from", "have",  "or",    "by",
    "one",  "had",  "not",   "but",   "what", "all",  "were", "when", "we",    "there", "can",
    "an",   "your", "which", "their", "said", "if",   "do",   "will", "each",  "about", "how",
    "up",   "out",  "them",  "then",  "she",  "many", "some", "so",   "these", "would", "other",
    "into", "has",  "more",  "her",   "two",  "like", "him",  "see",  "time"};

std::string words(int64_t n, Draws& draws) {
  std::string text;
  for (int64_t i = 0; i < n; ++i) {
    if (i > 0) text.push_back(' ');
    text += kWords[draws.below(kWords.size())];
  }
  return text;
}

Error bad_line(const std::string& what) { return Error(ErrorKind::kInvalidInput, what); }

}  // namespace

Status Workload::take_prompts(std::string_view text, const std::string& label) {
  if (text.size() > kMaxFileBytes) {
    return Error(ErrorKind::kInvalidInput,
                 label + " has more than " + std::to_string(kMaxFileBytes >> 20) + " MiB");
  }
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = label + ", line " + std::to_string(number);
    const auto parsed = parse_json(line);
    if (!parsed.ok()) return parsed.error().with_context(where);
    auto prompt = read_prompt(*parsed);
    if (!prompt.ok()) return prompt.error().with_context(where);
    prompts_.push_back(std::move(*prompt));
  }
  if (prompts_.empty()) return Error(ErrorKind::kInvalidInput, label + " holds no prompt");
  return ok_status();
}

Result<Workload::Prompt> Workload::read_prompt(const Json& line) const {
  Prompt out;
  if (line.is_string()) {
    out.content = line;
  } else if (line.is_object()) {
    for (const auto& [name, value] : line.items()) {
      if (name == "prompt" && value.is_string()) {
        out.content = value;
      } else if (name == "messages" && value.is_array()) {
        out.content = value;
      } else if (name == "max_tokens" && value.is_number_integer() && value > 0 &&
                 value <= Lengths::kMost) {
        out.max_tokens = value.get<int64_t>();
      } else {
        return bad_line("\"" + name +
                        "\" is unknown or of a wrong kind; expected \"prompt\" (a "
                        "string) or \"messages\" (a list), and perhaps \"max_tokens\"");
      }
    }
  }
  if (out.content.is_null()) {
    return bad_line("no prompt; expected a string or an object with \"prompt\" or \"messages\"");
  }
  if (out.content.is_array() && !options_.chat) {
    return bad_line("messages need the chat endpoint; add --chat");
  }
  return out;
}

std::string Workload::body(uint64_t number) const {
  Draws draws(options_.seed, number);
  Prompt prompt;
  if (prompts_.empty()) {
    prompt.content = words(options_.prompt_words.draw(draws), draws);
  } else {
    prompt = prompts_[number % prompts_.size()];
  }
  if (prompt.max_tokens == 0) prompt.max_tokens = options_.max_tokens.draw(draws);
  Json body;
  body["model"] = model_;
  if (!options_.chat) {
    body["prompt"] = std::move(prompt.content);
  } else if (prompt.content.is_array()) {
    body["messages"] = std::move(prompt.content);
  } else {
    body["messages"] = Json::array({{{"role", "user"}, {"content", std::move(prompt.content)}}});
  }
  body["max_tokens"] = prompt.max_tokens;
  body["stream"] = true;
  if (options_.ask_usage) body["stream_options"] = {{"include_usage", true}};
  for (const auto& [name, value] : options_.extra.items()) body[name] = value;
  return dump_json(body);
}

}  // namespace quern::loadgen
