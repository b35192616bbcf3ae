// Which tokens steer a conversation, judged by their text: facts about published models that GGUF
// files often leave out or mark wrongly.
#pragma once

#include <string_view>

namespace quern::tokenizer {

// A text that ends an answer in some published model ("<|im_end|>", "<end_of_turn>", ...).
bool is_end_name(std::string_view text);

// A text that delimits turns or documents in some published model, so that user text must not turn
// into it: anything like <|...|>, and known names.
bool is_steering_name(std::string_view text);

}  // namespace quern::tokenizer
