// Names of computed pages that hold for ever: SHA-256 over everything that their contents depend
// on, and over all tokens up to the page's end.
//
// By the reproducibility contract equal names mean equal bytes, whoever computed them and when.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/digest.h"
#include "engine/types/request.h"

namespace quern::engine {

struct PageOrigin {
  Digest model{};              // of the whole model file: weights, hyper-parameters, tokenizer
  std::string contract;        // version of the reproducibility contract
  std::string backend;         // decides the order of bytes inside a page
  std::string kv_format;       // precision of keys and values
  int64_t context_tokens = 0;  // some models rotate differently for long contexts
  int32_t page_tokens = 0;
  uint64_t page_bytes = 0;
};

Digest origin_digest(const PageOrigin& origin);

// Of each whole page of `tokens`, at most `max_pages`. `share` is part of the names: keys do not
// find each other's pages. So is whatever names the adapters that the model is computed with; empty
// without any.
std::vector<Digest> page_digests(const Digest& origin, std::string_view share,
                                 std::span<const TokenId> tokens, int32_t page_tokens,
                                 size_t max_pages, std::string_view adapters = {});

}  // namespace quern::engine
