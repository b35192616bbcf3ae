// The assembler copies the file into the read-only data of this object: no generated source of
// millions of characters, and the compiler never sees the bytes.
#include "models/loader/embedded_model.h"

#ifdef QUERN_DEMO_MODEL_PATH

#ifdef __APPLE__
#define QUERN_DATA_SECTION ".const_data\n"
#define QUERN_CODE_SECTION ".text\n"
#define QUERN_SYMBOL(name) "_" name
#else
#define QUERN_DATA_SECTION ".pushsection .rodata\n"
#define QUERN_CODE_SECTION ".popsection\n"
#define QUERN_SYMBOL(name) name
#endif

asm(QUERN_DATA_SECTION ".balign 64\n"
    ".globl " QUERN_SYMBOL("quern_demo_model_begin") "\n"
    ".globl " QUERN_SYMBOL("quern_demo_model_end") "\n"
    QUERN_SYMBOL("quern_demo_model_begin") ":\n"
    ".incbin \"" QUERN_DEMO_MODEL_PATH "\"\n"
    QUERN_SYMBOL("quern_demo_model_end") ":\n"
    ".byte 0\n" QUERN_CODE_SECTION);

extern "C" {
extern const std::byte quern_demo_model_begin[];
extern const std::byte quern_demo_model_end[];
}

namespace quern::loader {

std::span<const std::byte> embedded_model() {
  return {quern_demo_model_begin,
          static_cast<size_t>(quern_demo_model_end - quern_demo_model_begin)};
}

}  // namespace quern::loader

#undef QUERN_DATA_SECTION
#undef QUERN_CODE_SECTION
#undef QUERN_SYMBOL

#else

namespace quern::loader {

std::span<const std::byte> embedded_model() { return {}; }

}  // namespace quern::loader

#endif
