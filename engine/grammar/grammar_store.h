// From the text of a grammar or schema to a constraint, with the recent ones remembered.
//
// One per tokenizer. Compiles on the calling thread, within a budget of work, memory and time, and
// never holds a lock meanwhile. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "config/base/json.h"
#include "config/base/result.h"
#include "engine/grammar/constraint.h"

namespace quern::grammar {

struct StoreOptions {
  size_t max_bytes = size_t{64} << 20;  // of remembered constraints; those in use count on
  std::chrono::milliseconds compile_time{2000};
};

class GrammarStore {
 public:
  using Stop = std::function<bool()>;

  // The tokenizer must outlive the store. Its trie is built with the first constraint.
  explicit GrammarStore(const tokenizer::Tokenizer& tokenizer, const StoreOptions& options = {})
      : tokenizer_(&tokenizer), options_(options) {}

  // Errors: see parse_gbnf, parse_json_schema, compile; kCancelled once `stop` says so.
  Result<std::shared_ptr<const Constraint>> from_gbnf(const std::string& text, Stop stop = {});
  Result<std::shared_ptr<const Constraint>> from_schema(const Json& schema, Stop stop = {});
  Result<std::shared_ptr<const Constraint>> any_object(Stop stop = {});

  size_t size() const;  // constraints remembered

 private:
  using Pointer = std::shared_ptr<const Constraint>;
  struct Entry {
    std::string key;
    Pointer constraint;
  };
  // Fills an empty grammar.
  using Parse = std::function<Status(Grammar&)>;

  Result<Pointer> find_or_compile(std::string key, const Limits& limits, Stop stop,
                                  const Parse& parse);
  Pointer find(const std::string& key);
  void remember(std::string key, const Pointer& constraint);
  std::shared_ptr<const TokenTrie> trie();

  const tokenizer::Tokenizer* tokenizer_;
  const StoreOptions options_;
  std::once_flag trie_once_;
  std::shared_ptr<const TokenTrie> trie_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace quern::grammar
