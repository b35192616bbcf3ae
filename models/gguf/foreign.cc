// Signatures of other files. The old GGML magics are 32-bit numbers, so their letters are reversed
// in the file.
#include "models/gguf/foreign.h"

#include <algorithm>
#include <string>

#include "config/base/checked.h"

namespace quern::gguf {
namespace {

struct Signature {
  std::string_view prefix;
  std::string_view advice;
};

constexpr std::string_view kOldGgml =
    "this is an old GGML file from before GGUF: convert the original model again";
constexpr std::string_view kHtml =
    "this is a web page, not a model: download the file itself, not the page about it";

constexpr Signature kSignatures[] = {
    {"version https://git-lfs",
     "this is a Git LFS pointer, not the model: run 'git lfs pull' to fetch the file"},
    {"PK\x03\x04",
     "this is a ZIP archive, probably a PyTorch checkpoint: convert it to GGUF first"},
    {"\x80\x02",
     "this is a Python pickle, probably a PyTorch checkpoint: convert it to GGUF first"},
    {"tjgg", kOldGgml},
    {"lmgg", kOldGgml},
    {"fmgg", kOldGgml},
    {"algg", kOldGgml},
    {"ggjt", kOldGgml},
    {"ggml", kOldGgml},
    {"ggmf", kOldGgml},
    {"ggla", kOldGgml},
    {"FUGG", "this GGUF file is big-endian: convert the model again on a little-endian machine"},
    {"\x1f\x8b", "this is a gzip archive: unpack it first"},
    {"\x28\xb5\x2f\xfd", "this is a zstd archive: unpack it first"},
    {"\x89HDF", "this is an HDF5 file: convert it to GGUF first"},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// A page starts with "<!doctype" or "<html" in any case, perhaps after white space or a mark.
bool is_html(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (start == std::string_view::npos) return false;
  std::string head(text.substr(start, 9));
  std::transform(head.begin(), head.end(), head.begin(), lower);
  return head.starts_with("<!doctype") || head.starts_with("<html") || head.starts_with("<?xml");
}

// A u64 header length and a JSON object.
bool is_safetensors(std::span<const std::byte> bytes) {
  if (bytes.size() < 10) return false;
  const auto length = load_unaligned<uint64_t>(bytes.data());
  return static_cast<char>(bytes[8]) == '{' && length >= 2 && length <= (uint64_t{100} << 20);
}

}  // namespace

std::optional<std::string_view> foreign_file(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<size_t>(bytes.size(), 64));
  for (const Signature& signature : kSignatures) {
    if (text.starts_with(signature.prefix)) return signature.advice;
  }
  if (is_html(text)) return kHtml;
  if (is_safetensors(bytes)) {
    return "this is a safetensors file: `quern convert` turns the folder that it lies in into GGUF";
  }
  if (text.starts_with("{")) return "this is a JSON text, not a model: check the download";
  return std::nullopt;
}

}  // namespace quern::gguf
