#include "models/convert/huggingface/tokenizer_files.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "config/base/mapped_file.h"
#include "models/convert/huggingface/json_fields.h"
#include "models/convert/huggingface/sentencepiece_model.h"
#include "models/convert/huggingface/special_tokens.h"
#include "models/convert/huggingface/token_list.h"
#include "models/convert/huggingface/tokenizer_json.h"
#include "models/gguf/name_rules.h"
#include "models/tokenizer/byte_fallback.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::huggingface {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kTemplateBytes = 1u << 20;

std::string shown(const fs::path& path) { return gguf::printable(path.string(), 4096); }

bool is_byte_text(std::string_view text) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return text.size() == 6 && text.starts_with("<0x") && is_hex(text[3]) && is_hex(text[4]) &&
         text[5] == '>';
}

class TokenizerReader {
 public:
  TokenizerReader(const fs::path& folder, const Json& config, uint64_t n_vocab,
                  gguf::Metadata& metadata, std::vector<std::string>& notes)
      : folder_(folder), config_(config), tokens_(n_vocab), metadata_(metadata), notes_(notes) {}

  Status run() {
    QUERN_RETURN_IF_ERROR(read_side_files());
    QUERN_RETURN_IF_ERROR(read_json());
    QUERN_RETURN_IF_ERROR(read_model());
    if (!json_ && !model_) {
      return Error(ErrorKind::kNotFound,
                   shown(folder_) +
                       ": holds neither tokenizer.json nor tokenizer.model, so text "
                       "could not become tokens: get one of them");
    }
    Status status = json_ && json_->byte_level ? set_byte_level() : set_pieces();
    if (status.ok()) status = finish();
    if (!status.ok()) return status.error().with_context(shown(folder_ / source_));
    return set_chat_template();
  }

 private:
  Status read_side_file(const char* name, Json& out) const {
    QUERN_ASSIGN_OR_RETURN(auto json, read_json_file(folder_ / name));
    if (json) out = std::move(*json);
    return ok_status();
  }

  Status read_side_files() {
    QUERN_RETURN_IF_ERROR(read_side_file("tokenizer_config.json", tokenizer_config_));
    QUERN_RETURN_IF_ERROR(read_side_file("special_tokens_map.json", special_tokens_));
    return read_side_file("generation_config.json", generation_config_);
  }

  Status read_json() {
    const fs::path path = folder_ / "tokenizer.json";
    QUERN_ASSIGN_OR_RETURN(const auto json, read_json_file(path));
    if (!json) return ok_status();
    auto parsed = parse_tokenizer_json(*json);
    if (!parsed.ok()) return parsed.error().with_context(shown(path));
    json_ = std::move(*parsed);
    for (std::string& note : json_->notes) notes_.push_back(std::move(note));
    return ok_status();
  }

  // A byte-level tokenizer.json needs no pieces; other programs put other things beside it under
  // this name.
  Status read_model() {
    if (json_ && json_->byte_level) return ok_status();
    const fs::path path = folder_ / "tokenizer.model";
    const auto file = MappedFile::open(path);
    if (!file.ok()) {
      if (file.error().kind() == ErrorKind::kNotFound) return ok_status();
      return file.error();
    }
    auto parsed = parse_sentencepiece((*file)->bytes());
    if (parsed.ok() && (*file)->poisoned()) {
      return went_away(shown(path));
    }
    if (parsed.ok() && (!json_ || agrees(*parsed))) {
      const Status usable = check_model(*parsed);
      if (!usable.ok()) return usable.error().with_context(shown(path));
      source_ = "tokenizer.model";
      model_ = std::move(*parsed);
      return ok_status();
    }
    if (!json_) return parsed.error().with_context(shown(path));
    notes_.push_back("tokenizer.model has other tokens than tokenizer.json and is not used");
    return ok_status();
  }

  // Whether every piece is the token of its id in tokenizer.json.
  bool agrees(const SentencePieceModel& model) const {
    std::unordered_map<std::string_view, uint64_t> ids;
    for (const auto& [text, id] : json_->vocabulary) ids.emplace(text, id);
    for (const AddedToken& token : json_->added) ids.emplace(token.text, token.id);
    for (uint64_t i = 0; i < model.pieces.size(); ++i) {
      const auto found = ids.find(model.pieces[i].text);
      if (found == ids.end() || found->second != i) return false;
    }
    return true;
  }

  static Status check_model(const SentencePieceModel& model) {
    const char* fault = nullptr;
    if (model.model_type != 2) fault = "its model is not BPE";
    if (model.has_rules) fault = "its normalizer replaces characters";
    if (model.remove_extra_whitespaces) fault = "its normalizer removes white space";
    if (fault == nullptr) return ok_status();
    return Error(ErrorKind::kUnsupported,
                 std::string(fault) +
                     ", which is not known here; only SentencePiece models of BPE "
                     "over text as it is can be converted");
  }

  Status set_byte_level() {
    for (const auto& [text, id] : json_->vocabulary) {
      QUERN_RETURN_IF_ERROR(tokens_.set(id, text, TokenType::kNormal));
    }
    QUERN_RETURN_IF_ERROR(set_added(json_->added, false));
    metadata_.set("tokenizer.ggml.model", std::string("gpt2"));
    metadata_.set("tokenizer.ggml.pre", json_->pretokenizer);
    std::vector<std::string> merges;
    merges.reserve(json_->merges.size());
    for (const auto& [left, right] : json_->merges) merges.push_back(left + " " + right);
    metadata_.set("tokenizer.ggml.merges", std::move(merges));
    return ok_status();
  }

  Status set_pieces() {
    metadata_.set("tokenizer.ggml.model", std::string("llama"));
    metadata_.set("tokenizer.ggml.pre", std::string("default"));
    QUERN_RETURN_IF_ERROR(model_ ? set_model_pieces() : set_json_pieces());
    if (json_) {
      QUERN_RETURN_IF_ERROR(set_added(json_->added, true));
    } else {
      QUERN_RETURN_IF_ERROR(set_added_of_side_files());
    }
    const bool prefix = json_ ? json_->add_space_prefix : model_->add_dummy_prefix;
    metadata_.set("tokenizer.ggml.add_space_prefix", prefix);
    return ok_status();
  }

  Status set_model_pieces() {
    for (uint64_t id = 0; id < model_->pieces.size(); ++id) {
      const SentencePieceModel::Piece& piece = model_->pieces[id];
      QUERN_RETURN_IF_ERROR(
          tokens_.set(id, piece.text, static_cast<TokenType>(piece.type), piece.score));
    }
    return ok_status();
  }

  Status set_json_pieces() {
    QUERN_ASSIGN_OR_RETURN(const std::vector<float> scores, scores_of_merges(*json_));
    for (size_t i = 0; i < scores.size(); ++i) {
      const auto& [text, id] = json_->vocabulary[i];
      TokenType type = is_byte_text(text) ? TokenType::kByte : TokenType::kNormal;
      if (json_->unknown == text) type = TokenType::kUnknown;
      QUERN_RETURN_IF_ERROR(tokens_.set(id, text, type, scores[i]));
    }
    return ok_status();
  }

  Status set_added(const std::vector<AddedToken>& added, bool word_marks) {
    bool strips = false;
    for (const AddedToken& token : added) {
      strips = strips || (token.special && token.strips_right);
      const bool unknown =
          token.id < tokens_.size() && word_marks && tokens_.type(token.id) == TokenType::kUnknown;
      if (unknown) continue;
      const TokenType type = token.special ? TokenType::kControl : TokenType::kUserDefined;
      const bool marked = word_marks && !token.special;
      std::string text = marked ? tokenizer::escape_spaces(token.text, false) : token.text;
      QUERN_RETURN_IF_ERROR(tokens_.set(token.id, std::move(text), type));
    }
    if (strips) note_stripping();
    return ok_status();
  }

  // Phi-3 files are told by their name; see models/tokenizer/vocab_metadata.cc.
  void note_stripping() {
    const auto name = metadata_.find_string("general.name");
    std::string lower(name.ok() ? name->value_or("") : "");
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (lower.find("phi-3") != std::string::npos || lower.find("phi3") != std::string::npos) return;
    notes_.push_back(
        "white space after special tokens is no text for this tokenizer (rstrip), which the file "
        "has no key for");
  }

  // added_tokens_decoder of tokenizer_config.json, or added_tokens.json.
  Status set_added_of_side_files() {
    std::vector<AddedToken> added;
    if (const Json* list = find_field(tokenizer_config_, "added_tokens_decoder");
        list != nullptr && list->is_object()) {
      for (const auto& [key, entry] : list->items()) {
        uint64_t id = 0;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc() || end != key.data() + key.size()) {
          return Error(ErrorKind::kInvalidInput,
                       "added_tokens_decoder of tokenizer_config.json has the key '" +
                           gguf::printable(key) + "', which is no token id");
        }
        QUERN_ASSIGN_OR_RETURN(AddedToken token, parse_added_token(entry, id));
        added.push_back(std::move(token));
      }
      return set_added(added, true);
    }
    Json file;
    QUERN_RETURN_IF_ERROR(read_side_file("added_tokens.json", file));
    if (!file.is_object()) return ok_status();
    for (const auto& [text, id] : file.items()) {
      if (!id.is_number_unsigned()) {
        return Error(ErrorKind::kInvalidInput,
                     "added_tokens.json gives '" + gguf::printable(text) + "' no token id");
      }
      added.push_back({id.get<uint64_t>(), text, false, false});
    }
    return set_added(added, true);
  }

  Status finish() {
    TextFrame frame;
    frame.usual_bos = model_.has_value() && !json_;
    if (json_) {
      frame.known = json_->has_template;
      frame.before = json_->before;
      frame.after = json_->after;
    }
    const SpecialTokenFiles files{config_, tokenizer_config_, special_tokens_, generation_config_};
    QUERN_RETURN_IF_ERROR(set_special_tokens(files, frame, tokens_, metadata_, notes_));
    tokens_.move_to(metadata_, !(json_ && json_->byte_level));
    const auto usable = tokenizer::Tokenizer::from_metadata(metadata_);
    return usable.ok() ? ok_status() : Status(usable.error());
  }

  Status set_chat_template() {
    QUERN_ASSIGN_OR_RETURN(const auto file,
                           read_text_file(folder_ / "chat_template.jinja", kTemplateBytes));
    if (file) {
      metadata_.set("tokenizer.chat_template", *file);
      return ok_status();
    }
    const Json* value = find_field(tokenizer_config_, "chat_template");
    if (value == nullptr) return ok_status();
    if (value->is_string()) {
      metadata_.set("tokenizer.chat_template", value->get<std::string>());
    } else if (value->is_array()) {
      set_named_templates(*value);
    }
    return ok_status();
  }

  void set_named_templates(const Json& list) {
    std::vector<std::string> names;
    for (const Json& entry : list) {
      const Json* name = find_field(entry, "name");
      const Json* text = find_field(entry, "template");
      if (name == nullptr || text == nullptr || !name->is_string() || !text->is_string()) continue;
      if (*name == "default") {
        metadata_.set("tokenizer.chat_template", text->get<std::string>());
        continue;
      }
      const std::string plain = name->get<std::string>();
      if (gguf::name_fault(plain)) continue;
      metadata_.set("tokenizer.chat_template." + plain, text->get<std::string>());
      names.push_back(plain);
    }
    if (!names.empty()) metadata_.set("tokenizer.chat_templates", std::move(names));
  }

  const fs::path& folder_;
  const Json& config_;
  TokenList tokens_;
  gguf::Metadata& metadata_;
  std::vector<std::string>& notes_;
  Json tokenizer_config_;
  Json special_tokens_;
  Json generation_config_;
  std::optional<JsonTokenizer> json_;
  std::optional<SentencePieceModel> model_;
  const char* source_ = "tokenizer.json";  // what messages are about
};

}  // namespace

Status set_tokenizer(const fs::path& folder, const Json& config, uint64_t n_vocab,
                     gguf::Metadata& metadata, std::vector<std::string>& notes) {
  if (n_vocab == 0 || n_vocab > (uint64_t{1} << 20)) {
    return Error(ErrorKind::kInvalidInput, shown(folder / "config.json") + ": 'vocab_size' is " +
                                               std::to_string(n_vocab) + "; expected 1 to 1048576");
  }
  return TokenizerReader(folder, config, n_vocab, metadata, notes).run();
}

}  // namespace quern::huggingface
