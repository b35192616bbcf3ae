// The public face: parses, renders within bounds, and turns TemplateError into Error.
#include "models/chat/chat_template.h"

#include <utility>

#include "models/chat/template_eval.h"
#include "models/chat/template_json.h"
#include "models/chat/template_parser.h"
#include "models/chat/template_probe.h"

namespace quern::chat {

namespace detail {
struct CompiledTemplate {
  std::unique_ptr<const TemplateTree> tree;
};
}  // namespace detail

namespace {

Error to_error(const TemplateError& problem, int line) {
  std::string message = "Chat template";
  if (line > 0) message += ", line " + std::to_string(line);
  message += ": " + problem.message;
  if (!message.ends_with('.') && !message.ends_with('!')) message += ".";
  return Error(problem.unsupported ? ErrorKind::kUnsupported : ErrorKind::kInvalidInput,
               std::move(message));
}

void set_variables(Evaluator& evaluator, const RenderInput& input) {
  evaluator.set_variable("messages", from_json(evaluator, input.messages, true));
  evaluator.set_variable("tools", from_json(evaluator, input.tools, true));
  evaluator.set_variable("documents", Value(None{}));
  evaluator.set_variable("add_generation_prompt", Value(input.add_generation_prompt));
  evaluator.set_variable("bos_token", evaluator.text(input.bos_token));
  evaluator.set_variable("eos_token", evaluator.text(input.eos_token));
  if (!input.extra.is_object()) return;
  for (const auto& [name, value] : input.extra.items()) {
    evaluator.set_variable(name, from_json(evaluator, value, true));
  }
}

std::vector<PromptSegment> segments_of(const Text& text) {
  std::vector<PromptSegment> segments;
  size_t at = 0;
  const auto add = [&](size_t end, bool from_user) {
    if (end > at) segments.push_back({text.bytes.substr(at, end - at), from_user});
    at = end;
  };
  for (const ByteRange& range : text.user) {
    add(range.begin, false);
    add(range.end, true);
  }
  add(text.bytes.size(), false);
  return segments;
}

Result<Text> render_marked(const TemplateTree& tree, const RenderInput& input, bool probe) {
  Evaluator evaluator(tree);
  try {
    if (probe) evaluator.limit_to_probe();
    evaluator.now_unix_s = input.now_unix_s;
    evaluator.set_input_bytes(json_bytes(input.messages) + json_bytes(input.tools) +
                              json_bytes(input.extra));
    set_variables(evaluator, input);
    return evaluator.render();
  } catch (const TemplateError& problem) {
    return to_error(problem, evaluator.line);
  }
}

}  // namespace

ChatTemplate::~ChatTemplate() = default;

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::parse(std::string source) {
  std::shared_ptr<ChatTemplate> made(new ChatTemplate());
  try {
    auto compiled = std::make_unique<detail::CompiledTemplate>();
    compiled->tree = parse_template(source);
    made->compiled_ = std::move(compiled);
  } catch (const TemplateError& problem) {
    return to_error(problem, problem.line);
  }
  made->source_ = std::move(source);
  const TemplateTree& tree = *made->compiled_->tree;
  made->capabilities_ = probe_capabilities([&](const RenderInput& input) -> Result<std::string> {
    QUERN_ASSIGN_OR_RETURN(Text text, render_marked(tree, input, true));
    return std::move(text.bytes);
  });
  return std::shared_ptr<const ChatTemplate>(std::move(made));
}

Result<std::vector<PromptSegment>> ChatTemplate::render(const RenderInput& input) const {
  QUERN_ASSIGN_OR_RETURN(const Text text, render_marked(*compiled_->tree, input, false));
  return segments_of(text);
}

Result<std::string> ChatTemplate::render_text(const RenderInput& input) const {
  QUERN_ASSIGN_OR_RETURN(Text text, render_marked(*compiled_->tree, input, false));
  return std::move(text.bytes);
}

}  // namespace quern::chat
