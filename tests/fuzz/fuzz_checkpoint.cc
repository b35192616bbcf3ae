// libFuzzer target: the files beside a checkpoint's weights, whatever their bytes, are refused with
// a sentence or give something that holds what it promises.
//
// The first byte chooses the reader: tokenizer.model, tokenizer.json, config.json.
#include <cstddef>
#include <cstdint>

#include "config/base/json.h"
#include "models/convert/huggingface/config.h"
#include "models/convert/huggingface/quantization.h"
#include "models/convert/huggingface/sentencepiece_model.h"
#include "models/convert/huggingface/tokenizer_json.h"
#include "tests/fuzz/require.h"

namespace {

using quern::fuzz::require;
using quern::fuzz::text_of;

void read_pieces(const uint8_t* data, size_t size) {
  const auto model =
      quern::huggingface::parse_sentencepiece({reinterpret_cast<const std::byte*>(data), size});
  if (!model.ok()) {
    require(!model.error().message().empty(), "an error has a message");
    return;
  }
  require(!model->pieces.empty() && model->pieces.size() <= size, "pieces come from bytes");
  for (const auto& piece : model->pieces) {
    require(piece.type >= 1 && piece.type <= 6, "a type is one of six");
  }
}

void read_tokenizer(const quern::Json& json) {
  const auto tokenizer = quern::huggingface::parse_tokenizer_json(json);
  if (!tokenizer.ok()) {
    require(!tokenizer.error().message().empty(), "an error has a message");
    return;
  }
  require(tokenizer->byte_level != tokenizer->pretokenizer.empty(), "byte-level means a rule");
  const auto scores = quern::huggingface::scores_of_merges(*tokenizer);
  if (scores.ok()) require(scores->size() == tokenizer->vocabulary.size(), "a score per token");
}

void read_config(const quern::Json& json) {
  quern::gguf::Metadata metadata;
  const auto config = quern::huggingface::read_config(json, metadata);
  if (config.ok()) {
    require(config->spec != nullptr, "an accepted class has an architecture");
    require(metadata.contains("general.architecture"), "an accepted class has its keys");
    (void)quern::arch::read_hyper_params(*config->spec, metadata,
                                         static_cast<int64_t>(config->n_vocab >> 1));
  }
  (void)quern::huggingface::read_quantization(json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  if (data[0] == 'm') {
    read_pieces(data + 1, size - 1);
    return 0;
  }
  const auto json = quern::parse_json(text_of(data + 1, size - 1));
  if (!json.ok()) return 0;
  if (data[0] == 't') {
    read_tokenizer(*json);
  } else {
    read_config(*json);
  }
  return 0;
}
