#include "models/evaluate/reference_file.h"

#include <cmath>
#include <cstring>

#include "config/base/checked.h"

namespace quern::evaluate {
namespace {

constexpr std::string_view kMagic = "QUERNREF";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 8 + 4 * 4 + 8 + sizeof(Digest);
constexpr size_t kRowBytes = 4 + 4 + 2;  // before its entries
constexpr size_t kEntryBytes = 4 + 2;
constexpr size_t kBufferBytes = size_t{1} << 20;

template <typename T>
void put(std::vector<std::byte>& out, T value) {
  const size_t at = out.size();
  out.resize(at + sizeof(T));
  std::memcpy(out.data() + at, &value, sizeof(T));
}

std::vector<std::byte> header_of(const ReferenceText& text) {
  std::vector<std::byte> out;
  for (const char c : kMagic) out.push_back(static_cast<std::byte>(c));
  for (const uint32_t number : {kVersion, text.n_vocab, text.context, text.n_scored}) {
    put(out, number);
  }
  put(out, text.n_windows);
  put(out, text.tokens);
  return out;
}

// Nothing, or what differs between the file's text and the one that is expected.
std::string difference(const std::byte* header, const ReferenceText& expected) {
  const auto number = [&](size_t i) { return load_unaligned<uint32_t>(header + 8 + 4 * i); };
  if (number(0) != kVersion) return "version " + std::to_string(number(0));
  if (number(1) != expected.n_vocab) {
    return "a vocabulary of " + std::to_string(number(1)) + " tokens instead of " +
           std::to_string(expected.n_vocab);
  }
  if (number(2) != expected.context || number(3) != expected.n_scored) {
    return "windows of " + std::to_string(number(2)) + " tokens instead of " +
           std::to_string(expected.context);
  }
  const auto n_windows = load_unaligned<uint64_t>(header + 24);
  if (n_windows != expected.n_windows) {
    return std::to_string(n_windows) + " windows instead of " + std::to_string(expected.n_windows);
  }
  if (load_unaligned<Digest>(header + 32) != expected.tokens) return "the tokens of another text";
  return {};
}

}  // namespace

ReferenceText ReferenceText::of(const Windows& windows, int64_t n_vocab) {
  Sha256 hash;
  for (int64_t i = 0; i < windows.count(); ++i) {
    const std::vector<TokenId> window = windows.window(i);
    hash.add(std::as_bytes(std::span(window)));
  }
  return {.n_vocab = static_cast<uint32_t>(n_vocab),
          .context = static_cast<uint32_t>(windows.context()),
          .n_scored = static_cast<uint32_t>(windows.n_scored()),
          .n_windows = static_cast<uint64_t>(windows.count()),
          .tokens = hash.finish()};
}

Result<std::unique_ptr<ReferenceWriter>> ReferenceWriter::create(const std::filesystem::path& path,
                                                                 const ReferenceText& text) {
  std::unique_ptr<ReferenceWriter> writer(new ReferenceWriter());
  QUERN_ASSIGN_OR_RETURN(writer->file_, gguf::AtomicFile::create(path));
  writer->buffer_ = header_of(text);
  writer->n_missing_ = text.n_windows * text.n_scored;
  return writer;
}

Status ReferenceWriter::add(const ReferenceRow& row) {
  CHECK(n_missing_ > 0 && row.entries.size() <= UINT16_MAX);
  --n_missing_;
  put(buffer_, row.target_nll);
  put(buffer_, row.rest);
  put(buffer_, static_cast<uint16_t>(row.entries.size()));
  for (const ReferenceEntry& entry : row.entries) {
    put(buffer_, static_cast<uint32_t>(entry.token));
    put(buffer_, entry.steps);
  }
  return buffer_.size() < kBufferBytes ? ok_status() : flush();
}

Status ReferenceWriter::flush() {
  QUERN_RETURN_IF_ERROR(file_->write(buffer_));
  buffer_.clear();
  return ok_status();
}

Status ReferenceWriter::finish() {
  CHECK(n_missing_ == 0);
  QUERN_RETURN_IF_ERROR(flush());
  return file_->commit();
}

Result<std::unique_ptr<ReferenceReader>> ReferenceReader::open(const std::filesystem::path& path,
                                                               const ReferenceText& expected) {
  std::unique_ptr<ReferenceReader> reader(new ReferenceReader());
  QUERN_ASSIGN_OR_RETURN(reader->file_, MappedFile::open(path));
  const auto bytes = reader->file_->bytes();
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    return Error(ErrorKind::kInvalidInput,
                 path.string() +
                     " is no file of reference probabilities; make one with quern "
                     "perplexity --save-reference");
  }
  const std::string other = difference(bytes.data(), expected);
  if (!other.empty()) {
    return Error(ErrorKind::kInvalidInput,
                 path.string() + " holds " + other +
                     "; make it anew with this text, vocabulary and --context");
  }
  reader->n_vocab_ = expected.n_vocab;
  reader->offset_ = kHeaderBytes;
  return reader;
}

Error ReferenceReader::damaged(const std::string& what) const {
  return Error(ErrorKind::kInvalidInput, file_->path() + " is damaged at byte " +
                                             std::to_string(offset_) + ": " + what +
                                             "; make it anew with quern perplexity "
                                             "--save-reference");
}

Result<ReferenceRow> ReferenceReader::next() {
  const auto bytes = file_->bytes();
  if (!range_fits(offset_, kRowBytes, bytes.size())) return damaged("the file ends");
  const std::byte* from = bytes.data() + offset_;
  ReferenceRow row;
  row.target_nll = load_unaligned<float>(from);
  row.rest = load_unaligned<float>(from + 4);
  const size_t n = load_unaligned<uint16_t>(from + 8);
  if (!range_fits(offset_ + kRowBytes, n * kEntryBytes, bytes.size())) {
    return damaged("the file ends");
  }
  if (!std::isfinite(row.target_nll) || !(row.rest >= 0 && row.rest <= 1)) {
    return damaged("a probability that is none");
  }
  row.entries.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const std::byte* entry = from + kRowBytes + i * kEntryBytes;
    const auto token = load_unaligned<uint32_t>(entry);
    if (token >= n_vocab_) {
      return damaged("token " + std::to_string(token) + " of " + std::to_string(n_vocab_));
    }
    row.entries.push_back({static_cast<TokenId>(token), load_unaligned<uint16_t>(entry + 4)});
  }
  if (file_->poisoned()) {
    return Error(ErrorKind::kIo, file_->path() + ": reading failed; get the file again");
  }
  offset_ += kRowBytes + n * kEntryBytes;
  return row;
}

}  // namespace quern::evaluate
