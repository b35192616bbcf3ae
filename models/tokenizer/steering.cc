// Lists of names; extend them as models appear.
#include "models/tokenizer/steering.h"

#include <algorithm>
#include <iterator>

namespace quern::tokenizer {
namespace {

constexpr std::string_view kEndNames[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "▁<EOT>",
    "▁<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
    "<end_of_utterance>",
    "<|EOT|>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<|endofturn|>",
    "<|end_of_role|>",
};

constexpr std::string_view kSteeringNames[] = {
    "<unk>",
    "<pad>",
    "<bos>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "[gMASK]",
    "<sop>",
    "<start_of_turn>",
    "<s>",
    "</s>",
    "[CLS]",
    "[SEP]",
    "[PAD]",
    "[UNK]",
    "[MASK]",
    "<mask>",
    "[BOS]",
    "]~b]",
    "]~!b[",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
};

bool wrapped(std::string_view text, std::string_view open, std::string_view close) {
  return text.size() > open.size() + close.size() && text.substr(0, open.size()) == open &&
         text.substr(text.size() - close.size()) == close;
}

bool listed(std::string_view text, const std::string_view* first, const std::string_view* last) {
  return std::find(first, last, text) != last;
}

}  // namespace

bool is_end_name(std::string_view text) {
  return listed(text, std::begin(kEndNames), std::end(kEndNames));
}

bool is_steering_name(std::string_view text) {
  return is_end_name(text) || wrapped(text, "<|", "|>") || wrapped(text, "<｜", "｜>") ||
         wrapped(text, "<|", ">") || wrapped(text, "<", "|>") ||
         listed(text, std::begin(kSteeringNames), std::end(kSteeringNames));
}

}  // namespace quern::tokenizer
