// The table is computed from its definition.
#include "models/tokenizer/byte_alphabet.h"

#include <array>

#include "models/tokenizer/unicode_text.h"

namespace quern::tokenizer {
namespace {

constexpr char32_t kFirstMoved = 0x100;
constexpr size_t kMoved = 68;

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<char32_t, 256> letters{};
  std::array<uint8_t, kMoved> moved{};
};

constexpr Alphabet make_alphabet() {
  Alphabet out;
  size_t n = 0;
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (stands_for_itself(byte)) {
      out.letters[byte] = byte;
    } else {
      out.letters[byte] = kFirstMoved + static_cast<char32_t>(n);
      out.moved[n++] = static_cast<uint8_t>(byte);
    }
  }
  return out;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

char32_t letter_of_byte(uint8_t byte) { return kAlphabet.letters[byte]; }

std::optional<uint8_t> byte_of_letter(char32_t letter) {
  if (letter < 256 && stands_for_itself(letter)) return static_cast<uint8_t>(letter);
  if (letter >= kFirstMoved && letter < kFirstMoved + kMoved) {
    return kAlphabet.moved[letter - kFirstMoved];
  }
  return std::nullopt;
}

std::string to_byte_alphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) append_utf8(letter_of_byte(static_cast<uint8_t>(c)), out);
  return out;
}

std::string from_byte_alphabet(std::string_view text) {
  std::string out;
  const CodeText letters = decode_text(text);
  for (size_t i = 0; i < letters.size(); ++i) {
    const auto byte = byte_of_letter(letters.code[i]);
    if (byte) {
      out.push_back(static_cast<char>(*byte));
    } else {
      out.append(text.substr(letters.offset[i], letters.offset[i + 1] - letters.offset[i]));
    }
  }
  return out;
}

}  // namespace quern::tokenizer
