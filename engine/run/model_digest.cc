// See model_digest.h. A note that cannot be written costs time only.
#include "engine/run/model_digest.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>
#include <system_error>

namespace quern::engine {
namespace {

constexpr std::string_view kMagic = "QUERNID1";

// Where the digest of a file in this state is noted; nothing for what is no file on disk. Models of
// several parts are not noted: one path does not tell about the others.
std::optional<std::filesystem::path> note_path(const gguf::GgufFile& file,
                                               const std::filesystem::path& directory) {
  if (file.contents().size() != 1) return std::nullopt;
  std::error_code error;
  const auto path = std::filesystem::canonical(file.label(), error);
  struct stat info {};
  if (error || ::stat(path.c_str(), &info) != 0 ||
      static_cast<uint64_t>(info.st_size) != file.file_bytes()) {
    return std::nullopt;
  }
  Sha256 hash;
  hash.add(path.string()).add_number(static_cast<uint64_t>(info.st_size));
  hash.add_number(info.st_dev).add_number(info.st_ino);
  for (const timespec& time : {info.st_mtim, info.st_ctim}) {
    hash.add_number(static_cast<uint64_t>(time.tv_sec));
    hash.add_number(static_cast<uint64_t>(time.tv_nsec));
  }
  return directory / (to_hex(hash.finish()) + ".model");
}

// Note: magic, digest, SHA-256 of both.
std::optional<Digest> read_note(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::array<char, 8 + 32 + 32> bytes{};
  if (!in.read(bytes.data(), bytes.size()) || in.peek() != std::ifstream::traits_type::eof()) {
    return std::nullopt;
  }
  const std::string_view all(bytes.data(), bytes.size());
  const Digest sum = Sha256().add(all.substr(0, 40)).finish();
  if (!all.starts_with(kMagic) ||
      !std::equal(sum.begin(), sum.end(), reinterpret_cast<const uint8_t*>(all.data()) + 40)) {
    return std::nullopt;
  }
  Digest out{};
  std::copy_n(reinterpret_cast<const uint8_t*>(all.data()) + 8, out.size(), out.begin());
  return out;
}

void write_note(const std::filesystem::path& path, const Digest& digest) {
  std::string bytes(kMagic);
  bytes.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  const Digest sum = Sha256().add(bytes).finish();
  bytes.append(reinterpret_cast<const char*>(sum.data()), sum.size());
  const std::filesystem::path temporary = path.string() + ".new-" + std::to_string(::getpid());
  bool written = false;
  {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    written = static_cast<bool>(
        out.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush());
  }
  std::error_code error;
  if (written) std::filesystem::rename(temporary, path, error);
  if (!written || error) std::filesystem::remove(temporary, error);
}

}  // namespace

std::optional<Digest> model_digest(const gguf::GgufFile& file,
                                   const std::filesystem::path& directory) {
  const auto note = note_path(file, directory);
  if (note) {
    if (const auto known = read_note(*note)) return known;
  }
  Sha256 hash;
  for (const std::span<const std::byte> part : file.contents()) {
    hash.add_number(part.size()).add(part);
  }
  if (file.poisoned() || file.changed_on_disk()) return std::nullopt;
  const Digest digest = hash.finish();
  if (note) write_note(*note, digest);
  return digest;
}

}  // namespace quern::engine
