// The assembler copies the files into the read-only data of this object: no generated source of
// millions of characters, and the compiler never sees the bytes.
#include "models/loader/embedded_model.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#ifdef QUERN_DEMO_MODELS

#ifdef __APPLE__
#define QUERN_DATA_SECTION ".const_data\n"
#define QUERN_CODE_SECTION ".text\n"
#define QUERN_SYMBOL(name) "_" name
#else
#define QUERN_DATA_SECTION ".pushsection .rodata\n"
#define QUERN_CODE_SECTION ".popsection\n"
#define QUERN_SYMBOL(name) name
#endif

#define QUERN_EMBED(symbol, path) \
  asm(QUERN_DATA_SECTION ".balign 64\n"                    \
      ".globl " QUERN_SYMBOL(symbol "_begin") "\n"         \
      ".globl " QUERN_SYMBOL(symbol "_end") "\n"           \
      QUERN_SYMBOL(symbol "_begin") ":\n"                  \
      ".incbin \"" path "\"\n"                             \
      QUERN_SYMBOL(symbol "_end") ":\n"                    \
      ".byte 0\n" QUERN_CODE_SECTION);

QUERN_EMBED("quern_tales", QUERN_DEMO_MODELS "/tales5M.gguf")
QUERN_EMBED("quern_stories", QUERN_DEMO_MODELS "/stories260K.gguf")

extern "C" {
extern const std::byte quern_tales_begin[];
extern const std::byte quern_tales_end[];
extern const std::byte quern_stories_begin[];
extern const std::byte quern_stories_end[];
}

#undef QUERN_EMBED
#undef QUERN_DATA_SECTION
#undef QUERN_CODE_SECTION
#undef QUERN_SYMBOL

#endif

namespace quern::loader {

std::span<const EmbeddedModel> embedded_models() {
#ifdef QUERN_DEMO_MODELS
  static const EmbeddedModel kModels[] = {
      {"tales5m", {quern_tales_begin, static_cast<size_t>(quern_tales_end - quern_tales_begin)}},
      {"stories260k",
       {quern_stories_begin, static_cast<size_t>(quern_stories_end - quern_stories_begin)}},
  };
  return kModels;
#else
  return {};
#endif
}

std::span<const std::byte> embedded_model(std::string_view name) {
  const auto models = embedded_models();
  const auto found = std::find_if(models.begin(), models.end(),
                                  [&](const EmbeddedModel& model) { return model.name == name; });
  return found == models.end() ? std::span<const std::byte>() : found->bytes;
}

Result<std::shared_ptr<const gguf::GgufFile>> open_file_or_embedded(const std::string& path) {
  std::string name = path;
  if (name.empty()) name = embedded_models().empty() ? "demo" : embedded_models().front().name;
  const auto bytes = embedded_model(name);
  std::error_code ignored;
  const bool is_file = !path.empty() && (bytes.empty() || std::filesystem::exists(path, ignored));
  if (is_file) return gguf::GgufFile::open(path);
  return gguf::GgufFile::from_bytes(bytes, "embedded model " + name);
}

}  // namespace quern::loader
