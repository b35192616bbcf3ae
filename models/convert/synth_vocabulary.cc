#include "models/convert/synth_vocabulary.h"

#include <string>
#include <utility>
#include <vector>

#include "config/base/check.h"
#include "models/gguf/token_type.h"

namespace quern::convert {
namespace {

constexpr auto kNormal = static_cast<int32_t>(gguf::TokenType::kNormal);
constexpr auto kUnknown = static_cast<int32_t>(gguf::TokenType::kUnknown);
constexpr auto kControl = static_cast<int32_t>(gguf::TokenType::kControl);
constexpr auto kByte = static_cast<int32_t>(gguf::TokenType::kByte);

constexpr std::string_view kWordMark = "\xe2\x96\x81";  // U+2581
constexpr uint64_t kLetters = 27;                       // the word mark and a to z

std::string byte_piece(int byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">";
}

// The n-th word of this many letters: n in base 27.
std::string word(uint64_t n, int n_letters) {
  std::string text;
  for (int i = 0; i < n_letters; ++i, n /= kLetters) {
    const uint64_t letter = n % kLetters;
    text = (letter == 0 ? std::string(kWordMark)
                        : std::string(1, static_cast<char>('a' + static_cast<int>(letter) - 1))) +
           text;
  }
  return text;
}

std::vector<std::string> pieces(size_t n_tokens) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  tokens.reserve(n_tokens);
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(byte_piece(byte));
  tokens.emplace_back(kWordMark);
  for (char c = '!'; c <= '~' && tokens.size() < n_tokens; ++c) tokens.emplace_back(1, c);
  uint64_t n_words = kLetters * kLetters;
  for (int n_letters = 2; tokens.size() < n_tokens; ++n_letters, n_words *= kLetters) {
    for (uint64_t n = 0; n < n_words && tokens.size() < n_tokens; ++n) {
      tokens.push_back(word(n, n_letters));
    }
  }
  return tokens;
}

}  // namespace

void set_synthetic_vocabulary(int64_t n_tokens, gguf::Metadata& metadata) {
  CHECK(n_tokens >= kSmallestVocabulary);
  std::vector<std::string> tokens = pieces(static_cast<size_t>(n_tokens));
  std::vector<float> scores(tokens.size());
  std::vector<int32_t> types(tokens.size(), kNormal);
  types[0] = kUnknown;
  types[1] = types[2] = kControl;
  for (size_t id = 3; id < 259; ++id) types[id] = kByte;
  // Shorter words merge first.
  for (size_t id = 259; id < scores.size(); ++id) scores[id] = -static_cast<float>(id - 259);
  metadata.set("tokenizer.ggml.model", std::string("llama"));
  metadata.set("tokenizer.ggml.tokens", std::move(tokens));
  metadata.set("tokenizer.ggml.scores", std::move(scores));
  metadata.set("tokenizer.ggml.token_type", std::move(types));
  metadata.set("tokenizer.ggml.bos_token_id", uint32_t{1});
  metadata.set("tokenizer.ggml.eos_token_id", uint32_t{2});
  metadata.set("tokenizer.ggml.unknown_token_id", uint32_t{0});
  metadata.set("tokenizer.ggml.add_bos_token", true);
  metadata.set("tokenizer.ggml.add_eos_token", false);
}

}  // namespace quern::convert
