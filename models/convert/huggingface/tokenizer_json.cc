#include "models/convert/huggingface/tokenizer_json.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "models/convert/huggingface/json_fields.h"
#include "models/gguf/name_rules.h"
#include "models/tokenizer/byte_fallback.h"
#include "models/tokenizer/pretokenize.h"
#include "models/tokenizer/vocab_data.h"

namespace quern::huggingface {
namespace {

constexpr std::string_view kWordMark = tokenizer::kEscapedSpace;
// What the library's ByteLevel splits by itself.
constexpr std::string_view kByteLevelRule = "gpt-2";

Error unsupported(const std::string& what) { return Error(ErrorKind::kUnsupported, what); }

Error invalid(const std::string& what) {
  return Error(ErrorKind::kInvalidInput, what + "; the file is damaged, get it again");
}

std::string type_of(const Json& part) {
  const Json* type = find_field(part, "type");
  return type != nullptr && type->is_string() ? type->get<std::string>() : "(none)";
}

// The members of a Sequence, or the part itself; nothing when it is null. Nested ones are not used.
std::vector<const Json*> parts_of(const Json& root, std::string_view key, std::string_view list) {
  std::vector<const Json*> parts;
  const Json* part = find_field(root, key);
  if (part == nullptr) return parts;
  const Json* members = type_of(*part) == "Sequence" ? find_field(*part, list) : nullptr;
  if (members == nullptr || !members->is_array()) return {part};
  for (const Json& member : *members) parts.push_back(&member);
  return parts;
}

bool text_is(const Json& object, std::string_view key, std::string_view expected) {
  const Json* value = find_field(object, key);
  return value != nullptr && value->is_string() && value->get_ref<const std::string&>() == expected;
}

bool flag(const Json& object, std::string_view key, bool otherwise) {
  const Json* value = find_field(object, key);
  return value != nullptr && value->is_boolean() ? value->get<bool>() : otherwise;
}

class Parser {
 public:
  explicit Parser(const Json& root) : root_(root) {}

  Result<JsonTokenizer> run() {
    const Json* model = find_field(root_, "model");
    if (model == nullptr || !model->is_object()) return invalid("'model' is missing");
    // Old files leave the type out.
    if (find_field(*model, "type") != nullptr && type_of(*model) != "BPE") {
      return unsupported("the tokenizer's model is '" + gguf::printable(type_of(*model)) +
                         "'; only BPE can be converted");
    }
    for (const char* unused : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json* value = find_field(*model, unused);
      if (value != nullptr && !text_is(*model, unused, "")) {
        return unsupported(std::string("the tokenizer's model has a '") + unused +
                           "', which is not known here");
      }
    }
    QUERN_ASSIGN_OR_RETURN(out_.unknown, find_text(*model, "unk_token"));
    QUERN_RETURN_IF_ERROR(read_vocabulary(*model));
    QUERN_RETURN_IF_ERROR(read_merges(*model));
    QUERN_RETURN_IF_ERROR(read_added());
    QUERN_RETURN_IF_ERROR(read_normalizer());
    QUERN_RETURN_IF_ERROR(read_pretokenizer(flag(*model, "ignore_merges", false)));
    QUERN_RETURN_IF_ERROR(read_post_processor());
    return std::move(out_);
  }

 private:
  Status read_vocabulary(const Json& model) {
    const Json* vocabulary = find_field(model, "vocab");
    if (vocabulary == nullptr || !vocabulary->is_object()) return invalid("'vocab' is no object");
    out_.vocabulary.reserve(vocabulary->size());
    for (const auto& [text, id] : vocabulary->items()) {
      if (!id.is_number_unsigned()) {
        return invalid("token '" + gguf::printable(text) + "' has an id that is no whole number");
      }
      out_.vocabulary.emplace_back(text, id.get<uint64_t>());
    }
    return ok_status();
  }

  Status read_merges(const Json& model) {
    const Json* merges = find_field(model, "merges");
    if (merges == nullptr || !merges->is_array()) return invalid("'merges' is no list");
    out_.merges.reserve(merges->size());
    for (const Json& merge : *merges) {
      if (merge.is_string()) {
        const auto& text = merge.get_ref<const std::string&>();
        const size_t space = text.find(' ');
        if (space == std::string::npos) return invalid("a merge has no space between its parts");
        out_.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        out_.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      } else {
        return invalid("a merge is neither a text nor a pair of texts");
      }
    }
    return ok_status();
  }

  Status read_added() {
    const Json* added = find_field(root_, "added_tokens");
    if (added == nullptr) return ok_status();
    if (!added->is_array()) return invalid("'added_tokens' is no list");
    for (const Json& entry : *added) {
      QUERN_ASSIGN_OR_RETURN(const auto id, find_uint(entry, "id"));
      if (!id) return invalid("an added token has no id");
      QUERN_ASSIGN_OR_RETURN(AddedToken token, parse_added_token(entry, *id));
      out_.added.push_back(std::move(token));
    }
    return ok_status();
  }

  // Spaces become U+2581 in the SentencePiece-like kind; NFC is the only other one that is passed.
  Status read_normalizer() {
    for (const Json* part : parts_of(root_, "normalizer", "normalizers")) {
      const std::string type = type_of(*part);
      const Json* pattern = find_field(*part, "pattern");
      if (type == "Replace" && pattern != nullptr && text_is(*pattern, "String", " ") &&
          text_is(*part, "content", kWordMark)) {
        marks_words_ = true;
      } else if (type == "Prepend" && text_is(*part, "prepend", kWordMark)) {
        out_.add_space_prefix = true;
      } else if (type == "NFC") {
        out_.notes.push_back(
            "the tokenizer brings text to the Unicode form NFC first, which is not done here: text "
            "in another form becomes other tokens");
      } else {
        return unsupported("the tokenizer's normalizer '" + gguf::printable(type) +
                           "' is not known here; known are NFC, and Prepend and Replace of spaces "
                           "by U+2581");
      }
    }
    return ok_status();
  }

  Status read_pretokenizer(bool whole_words_first) {
    std::vector<std::string> patterns;
    for (const Json* part : parts_of(root_, "pre_tokenizer", "pretokenizers")) {
      QUERN_RETURN_IF_ERROR(read_split(*part, patterns));
    }
    if (marks_words_ || metaspace_) {
      if (out_.byte_level || !patterns.empty() || whole_words_first) {
        return unsupported(
            "the tokenizer marks words with U+2581 and splits them by rules or "
            "ignores merges too, which is not known here");
      }
      return ok_status();
    }
    if (!out_.byte_level) {
      return unsupported(
          "the tokenizer works neither on bytes (ByteLevel) nor with words marked by "
          "U+2581; no other kind is known here");
    }
    const auto name = tokenizer::Pretokenizer::find_by_patterns(patterns, whole_words_first);
    if (name) {
      out_.pretokenizer = *name;
      return ok_status();
    }
    std::string shown;
    for (const std::string& pattern : patterns) {
      shown += (shown.empty() ? "" : ", then ") + ("'" + gguf::printable(pattern, 400) + "'");
    }
    std::string known;
    for (const std::string_view one : tokenizer::Pretokenizer::names()) {
      known.append(known.empty() ? "" : ", ").append(one);
    }
    return unsupported("the tokenizer splits text by " + (shown.empty() ? "nothing" : shown) +
                       (whole_words_first ? " and ignores merges for whole words" : "") +
                       ", which is not the rule of any pre-tokenizer known here (" + known + ")");
  }

  // Adds what one part splits by.
  Status read_split(const Json& part, std::vector<std::string>& patterns) {
    const std::string type = type_of(part);
    if (type == "ByteLevel") return read_byte_level(part, patterns);
    if (type == "Metaspace") return read_metaspace(part);
    if (type == "Digits") {
      patterns.emplace_back(flag(part, "individual_digits", false) ? "\\p{N}" : "\\p{N}+");
      return ok_status();
    }
    if (type != "Split") {
      return unsupported("the tokenizer's pre-tokenizer '" + gguf::printable(type) +
                         "' is not known here; known are Split, Digits, ByteLevel and Metaspace");
    }
    const Json* pattern = find_field(part, "pattern");
    if (pattern == nullptr) return invalid("a Split has no pattern");
    // No space is left when the normalizer has replaced them.
    if (marks_words_ && text_is(*pattern, "String", " ")) return ok_status();
    const Json* regex = find_field(*pattern, "Regex");
    if (regex == nullptr || !regex->is_string()) {
      return unsupported(
          "the tokenizer splits by a text that is no regular expression, which is "
          "not known here");
    }
    // Removing what lies between matches is the same as keeping it where nothing lies between.
    const bool isolated = text_is(part, "behavior", "Isolated") && !flag(part, "invert", false);
    const bool removed = text_is(part, "behavior", "Removed") && flag(part, "invert", false);
    if (!isolated && !removed) {
      return unsupported(
          "the tokenizer's Split is neither 'Isolated' nor an inverted 'Removed', "
          "which is not known here");
    }
    patterns.push_back(regex->get<std::string>());
    return ok_status();
  }

  Status read_byte_level(const Json& part, std::vector<std::string>& patterns) {
    out_.byte_level = true;
    if (flag(part, "add_prefix_space", true)) {
      return unsupported(
          "the tokenizer puts a space before every text (add_prefix_space), which "
          "byte-level tokenizers here do not");
    }
    if (!flag(part, "use_regex", true)) return ok_status();
    QUERN_ASSIGN_OR_RETURN(const auto rule, tokenizer::Pretokenizer::create(kByteLevelRule));
    for (const std::string_view pattern : rule->patterns()) patterns.emplace_back(pattern);
    return ok_status();
  }

  Status read_metaspace(const Json& part) {
    metaspace_ = true;
    const bool splits = flag(part, "split", true);
    if (!text_is(part, "replacement", kWordMark) || splits) {
      return unsupported(
          "the tokenizer's Metaspace splits words or uses another mark than U+2581, "
          "which is not known here");
    }
    const bool legacy = find_field(part, "prepend_scheme") == nullptr;
    const bool never = text_is(part, "prepend_scheme", "never");
    out_.add_space_prefix = legacy ? flag(part, "add_prefix_space", true) : !never;
    if (out_.add_space_prefix) {
      out_.notes.push_back(
          "the tokenizer puts a space before a text only where there is none, and none after "
          "special "
          "tokens; a file puts one in all these places");
    }
    return ok_status();
  }

  // The special tokens around a single text.
  Status read_post_processor() {
    for (const Json* part : parts_of(root_, "post_processor", "processors")) {
      const std::string type = type_of(*part);
      if (type == "ByteLevel") continue;
      if (type != "TemplateProcessing") {
        return unsupported("the tokenizer's post-processor '" + gguf::printable(type) +
                           "' is not known here; known are TemplateProcessing and ByteLevel");
      }
      const Json* single = find_field(*part, "single");
      if (single == nullptr || !single->is_array()) return invalid("a template has no list");
      out_.has_template = true;
      bool text_seen = false;
      for (const Json& item : *single) {
        if (find_field(item, "Sequence") != nullptr) {
          text_seen = true;
          continue;
        }
        const Json* special = find_field(item, "SpecialToken");
        if (special == nullptr) return invalid("a template holds neither a text nor a token");
        QUERN_ASSIGN_OR_RETURN(const auto id, find_text(*special, "id"));
        (text_seen ? out_.after : out_.before).push_back(id.value_or(""));
      }
    }
    return ok_status();
  }

  const Json& root_;
  JsonTokenizer out_;
  bool marks_words_ = false;
  bool metaspace_ = false;
};

std::string label(const std::string& token) { return "'" + gguf::printable(token) + "'"; }

constexpr std::string_view kUseModel =
    ": its merges cannot be written as scores; convert with tokenizer.model beside it";

}  // namespace

Result<JsonTokenizer> parse_tokenizer_json(const Json& json) { return Parser(json).run(); }

Result<AddedToken> parse_added_token(const Json& entry, uint64_t id) {
  AddedToken token;
  token.id = id;
  QUERN_ASSIGN_OR_RETURN(const auto text, find_text(entry, "content"));
  if (!text) return invalid("added token " + std::to_string(id) + " has no content");
  token.text = *text;
  token.special = flag(entry, "special", false);
  token.strips_right = flag(entry, "rstrip", false);
  return token;
}

Result<std::vector<float>> scores_of_merges(const JsonTokenizer& tokenizer) {
  struct Rank {
    size_t first = std::numeric_limits<size_t>::max();
    size_t last = 0;
    size_t n = 0;
  };
  std::unordered_map<std::string, Rank> ranks;  // by the text that merges yield
  for (size_t i = 0; i < tokenizer.merges.size(); ++i) {
    Rank& rank = ranks[tokenizer.merges[i].first + tokenizer.merges[i].second];
    rank.first = std::min(rank.first, i);
    rank.last = i;
    ++rank.n;
  }
  std::unordered_set<std::string_view> texts;
  std::unordered_set<std::string_view> matched;  // found whole, before anything is merged
  for (const auto& [text, id] : tokenizer.vocabulary) texts.insert(text);
  for (const AddedToken& token : tokenizer.added) matched.insert(token.text);
  std::vector<float> scores;
  scores.reserve(tokenizer.vocabulary.size());
  for (const auto& [text, id] : tokenizer.vocabulary) {
    const auto found = ranks.find(text);
    const bool merged = found != ranks.end();
    scores.push_back(-static_cast<float>(merged ? found->second.first : tokenizer.merges.size()));
    if (matched.contains(text)) continue;
    if (merged && found->second.last - found->second.first + 1 != found->second.n) {
      return unsupported("merges of token " + label(text) + " alternate with others" +
                         std::string(kUseModel));
    }
    // A score would merge any two tokens whose texts together are this one.
    size_t n_splits = 0;
    for (size_t at = 1; at < text.size() && text.size() <= tokenizer::kMaxTokenBytes; ++at) {
      const std::string_view all = text;
      if (texts.contains(all.substr(0, at)) && texts.contains(all.substr(at)) &&
          !matched.contains(all.substr(0, at)) && !matched.contains(all.substr(at))) {
        ++n_splits;
      }
    }
    if (n_splits > (merged ? found->second.n : 0)) {
      return unsupported("token " + label(text) +
                         " could be put together in more ways than it has "
                         "merges" +
                         std::string(kUseModel));
    }
  }
  return scores;
}

}  // namespace quern::huggingface
