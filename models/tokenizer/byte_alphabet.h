// GPT-2's alphabet: every byte as a printable code point, so that vocabularies can be text files.
//
// The printable bytes of Latin-1 stand for themselves; the other 68, ascending, are U+0100 onwards.
// Source: Radford et al. 2019, encoder.py (bytes_to_unicode).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quern::tokenizer {

char32_t letter_of_byte(uint8_t byte);
std::optional<uint8_t> byte_of_letter(char32_t letter);

// `bytes` written in the alphabet.
std::string to_byte_alphabet(std::string_view bytes);

// Text in the alphabet back to bytes; code points outside it stay as they are.
std::string from_byte_alphabet(std::string_view text);

}  // namespace quern::tokenizer
