#include "models/convert/huggingface/special_tokens.h"

#include <algorithm>
#include <string_view>

#include "models/convert/huggingface/json_fields.h"
#include "models/gguf/name_rules.h"
#include "models/tokenizer/steering.h"

namespace quern::huggingface {
namespace {

constexpr std::string_view kEndOfMessage = "<|eom_id|>";

// A token as the files write it: its text, or an object with its text.
std::optional<std::string> token_text(const Json& file, std::string_view key) {
  const Json* value = find_field(file, key);
  if (value != nullptr && value->is_object()) value = find_field(*value, "content");
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return value->get<std::string>();
}

// A number or a list of numbers.
std::vector<uint64_t> ids_of(const Json& file, std::string_view key) {
  std::vector<uint64_t> ids;
  const Json* value = find_field(file, key);
  if (value == nullptr) return ids;
  if (value->is_number_unsigned()) return {value->get<uint64_t>()};
  if (!value->is_array()) return ids;
  for (const Json& item : *value) {
    if (item.is_number_unsigned()) ids.push_back(item.get<uint64_t>());
  }
  return ids;
}

class Setter {
 public:
  Setter(const SpecialTokenFiles& files, const TokenList& tokens, gguf::Metadata& metadata,
         std::vector<std::string>& notes)
      : files_(files), tokens_(tokens), metadata_(metadata), notes_(notes) {}

  Status run(const TextFrame& frame) {
    const auto bos = find("bos_token");
    const auto eos = find("eos_token");
    set("bos_token_id", bos);
    set("eos_token_id", eos);
    set("unknown_token_id", find("unk_token"));
    set("padding_token_id", find("pad_token"));
    set_other_ends(eos);
    return set_frame(frame, bos, eos);
  }

 private:
  std::optional<uint64_t> find(const std::string& name) const {
    for (const Json* file : {&files_.tokenizer_config, &files_.special_tokens}) {
      const auto text = token_text(*file, name);
      const auto id = text ? tokens_.find(*text) : std::nullopt;
      if (id) return id;
    }
    for (const Json* file : {&files_.config, &files_.generation_config}) {
      const auto ids = ids_of(*file, name + "_id");
      if (!ids.empty() && ids.front() < tokens_.size()) return ids.front();
    }
    return std::nullopt;
  }

  void set(const std::string& key, const std::optional<uint64_t>& id) {
    if (id) metadata_.set("tokenizer.ggml." + key, static_cast<uint32_t>(*id));
  }

  // What ends an answer besides EOS.
  void set_other_ends(const std::optional<uint64_t>& eos) {
    std::vector<uint64_t> ends;
    for (const Json* file : {&files_.generation_config, &files_.config}) {
      for (const uint64_t id : ids_of(*file, "eos_token_id")) {
        const bool listed = std::find(ends.begin(), ends.end(), id) != ends.end();
        if (id < tokens_.size() && id != eos && !listed) ends.push_back(id);
      }
    }
    // Two keys for any number of tokens. Those that are known as ends by their text need none, but
    // other programs know fewer, so they come first.
    std::stable_sort(ends.begin(), ends.end(), [&](uint64_t a, uint64_t b) {
      return tokenizer::is_end_name(tokens_.text(a)) < tokenizer::is_end_name(tokens_.text(b));
    });
    std::optional<uint64_t> eot;
    std::optional<uint64_t> eom;
    for (const uint64_t id : ends) {
      if (tokens_.text(id) == kEndOfMessage && !eom) {
        eom = id;
      } else if (!eot) {
        eot = id;
      } else if (!eom) {
        eom = id;
      } else if (!tokenizer::is_end_name(tokens_.text(id))) {
        notes_.push_back("token " + std::to_string(id) + " ('" + gguf::printable(tokens_.text(id)) +
                         "') ends an answer too, which the file has no key for");
      }
    }
    set("eot_token_id", eot);
    set("eom_token_id", eom);
  }

  Status set_frame(const TextFrame& frame, const std::optional<uint64_t>& bos,
                   const std::optional<uint64_t>& eos) {
    QUERN_ASSIGN_OR_RETURN(auto begins, find_bool(files_.tokenizer_config, "add_bos_token"));
    QUERN_ASSIGN_OR_RETURN(auto ends, find_bool(files_.tokenizer_config, "add_eos_token"));
    // This class looks at its template only.
    const auto name = token_text(files_.tokenizer_config, "tokenizer_class");
    if (frame.known && (name == "PreTrainedTokenizerFast" || !begins)) {
      QUERN_ASSIGN_OR_RETURN(begins, is_only(frame.before, bos, "before", "BOS"));
    }
    if (frame.known && (name == "PreTrainedTokenizerFast" || !ends)) {
      QUERN_ASSIGN_OR_RETURN(ends, is_only(frame.after, eos, "after", "EOS"));
    }
    const bool add_bos = begins.value_or(frame.usual_bos) && bos.has_value();
    const bool add_eos = ends.value_or(false) && eos.has_value();
    metadata_.set("tokenizer.ggml.add_bos_token", add_bos);
    metadata_.set("tokenizer.ggml.add_eos_token", add_eos);
    return ok_status();
  }

  // Whether the frame has the token on this side; an error for any other.
  Result<std::optional<bool>> is_only(const std::vector<std::string>& frame,
                                      const std::optional<uint64_t>& id, const char* side,
                                      const char* usual) const {
    if (frame.empty()) return std::optional(false);
    if (frame.size() == 1 && id && tokens_.text(*id) == frame.front()) return std::optional(true);
    return Error(ErrorKind::kUnsupported, "the tokenizer puts '" + gguf::printable(frame.front()) +
                                              "' " + side + " every text; only " + usual +
                                              " can be written");
  }

  const SpecialTokenFiles& files_;
  const TokenList& tokens_;
  gguf::Metadata& metadata_;
  std::vector<std::string>& notes_;
};

}  // namespace

Status set_special_tokens(const SpecialTokenFiles& files, const TextFrame& frame,
                          const TokenList& tokens, gguf::Metadata& metadata,
                          std::vector<std::string>& notes) {
  return Setter(files, tokens, metadata, notes).run(frame);
}

}  // namespace quern::huggingface
