// Keys: GGUF specification, "Tokenizer"; normalizer keys as llama.cpp's converter writes them.
#include "models/tokenizer/vocab_metadata.h"

#include <algorithm>
#include <cctype>

namespace quern::tokenizer {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kScores = "tokenizer.ggml.scores";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";

Error missing(std::string_view key) {
  return Error(ErrorKind::kInvalidInput, std::string(key) +
                                             " is missing, expected in every file with this kind "
                                             "of tokenizer; convert the model again");
}

Result<Family> family_of(std::string_view model) {
  if (model == "llama") return Family::kSentencePiece;
  if (model == "gpt2") return Family::kByteLevel;
  if (model == "gemma4") return Family::kRawBpe;
  if (model == "bert") return Family::kWordPiece;
  return Error(ErrorKind::kUnsupported,
               "tokenizer.ggml.model is \"" + std::string(model.substr(0, 64)) +
                   "\", expected llama, gpt2, gemma4 or bert; other kinds (t5, rwkv, plamo2) "
                   "cannot be used yet");
}

Status read_types(const gguf::Metadata& metadata, VocabData& out) {
  const gguf::Value* value = metadata.find(kTypes);
  if (value != nullptr && std::holds_alternative<std::vector<uint32_t>>(*value)) {
    for (const uint32_t type : std::get<std::vector<uint32_t>>(*value)) {
      out.types.push_back(type > 6 ? -1 : static_cast<int32_t>(type));
    }
    return ok_status();
  }
  QUERN_ASSIGN_OR_RETURN(const std::vector<int32_t>* types, metadata.find_array<int32_t>(kTypes));
  if (types != nullptr) out.types = *types;
  return ok_status();
}

Status read_arrays(const gguf::Metadata& metadata, VocabData& out) {
  QUERN_ASSIGN_OR_RETURN(const std::vector<std::string>* tokens,
                         metadata.find_array<std::string>(kTokens));
  if (tokens == nullptr) return missing(kTokens);
  out.tokens = *tokens;
  QUERN_ASSIGN_OR_RETURN(const std::vector<float>* scores, metadata.find_array<float>(kScores));
  if (scores != nullptr) {
    out.scores = *scores;
  } else if (out.family == Family::kSentencePiece) {
    return missing(kScores);
  }
  QUERN_ASSIGN_OR_RETURN(const std::vector<std::string>* merges,
                         metadata.find_array<std::string>(kMerges));
  if (merges != nullptr) {
    out.merges = *merges;
  } else if (out.family == Family::kByteLevel || out.family == Family::kRawBpe) {
    return missing(kMerges);
  }
  return read_types(metadata, out);
}

Status read_ids(const gguf::Metadata& metadata, VocabData& out) {
  const std::pair<std::string_view, std::optional<uint64_t>*> ids[] = {
      {"tokenizer.ggml.bos_token_id", &out.bos},
      {"tokenizer.ggml.eos_token_id", &out.eos},
      {"tokenizer.ggml.eot_token_id", &out.eot},
      {"tokenizer.ggml.eom_token_id", &out.eom},
      {"tokenizer.ggml.unknown_token_id", &out.unk},
      {"tokenizer.ggml.padding_token_id", &out.pad},
      {"tokenizer.ggml.seperator_token_id", &out.sep},  // spelled so in the specification
      {"tokenizer.ggml.cls_token_id", &out.cls},
      {"tokenizer.ggml.mask_token_id", &out.mask},
  };
  for (const auto& [key, field] : ids) {
    QUERN_ASSIGN_OR_RETURN(*field, metadata.find_uint(key));
  }
  const std::pair<std::string_view, std::optional<bool>*> flags[] = {
      {"tokenizer.ggml.add_bos_token", &out.add_bos},
      {"tokenizer.ggml.add_eos_token", &out.add_eos},
      {"tokenizer.ggml.add_sep_token", &out.add_sep},
  };
  for (const auto& [key, field] : flags) {
    QUERN_ASSIGN_OR_RETURN(*field, metadata.find_bool(key));
  }
  return ok_status();
}

// The files say nowhere that Phi-3's control tokens swallow the white space after them; its
// published tokenizer does ("rstrip"), and the model was trained so.
bool is_phi3(const gguf::Metadata& metadata) {
  const auto name = metadata.find_string("general.name");
  if (!name.ok() || !name.value()) return false;
  std::string lower(*name.value());
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower.find("phi-3") != std::string::npos || lower.find("phi3") != std::string::npos;
}

}  // namespace

Result<VocabData> vocab_from_metadata(const gguf::Metadata& metadata) {
  VocabData out;
  QUERN_ASSIGN_OR_RETURN(const std::string_view model, metadata.get_string("tokenizer.ggml.model"));
  QUERN_ASSIGN_OR_RETURN(out.family, family_of(model));
  out.model_name = model;
  QUERN_ASSIGN_OR_RETURN(const auto pre, metadata.find_string("tokenizer.ggml.pre"));
  if (out.family == Family::kByteLevel) out.pretokenizer = pre.value_or("default");
  QUERN_RETURN_IF_ERROR(read_arrays(metadata, out));
  QUERN_RETURN_IF_ERROR(read_ids(metadata, out));

  QUERN_ASSIGN_OR_RETURN(const auto prefix, metadata.find_bool("tokenizer.ggml.add_space_prefix"));
  out.add_space_prefix =
      prefix.value_or(out.family == Family::kSentencePiece) && out.family == Family::kSentencePiece;
  QUERN_ASSIGN_OR_RETURN(const auto lowercase,
                         metadata.find_bool("tokenizer.ggml.normalizer.lowercase"));
  out.lowercase = lowercase.value_or(true);
  QUERN_ASSIGN_OR_RETURN(const auto accents,
                         metadata.find_bool("tokenizer.ggml.normalizer.strip_accents"));
  out.strip_accents = accents.value_or(out.lowercase);
  out.control_eats_space_after = out.family == Family::kSentencePiece && is_phi3(metadata);
  return out;
}

}  // namespace quern::tokenizer
