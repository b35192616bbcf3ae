// Look-up, compilation, eviction of the least recently used.
#include "engine/grammar/grammar_store.h"

#include <utility>

#include "engine/grammar/gbnf.h"
#include "engine/grammar/json_schema.h"

namespace quern::grammar {
namespace {

constexpr size_t kMaxEntries = 256;

// JSON that nests deeper is more than many readers take.
Limits schema_limits() {
  Limits limits;
  limits.max_stack = 128;
  return limits;
}

}  // namespace

std::shared_ptr<const TokenTrie> GrammarStore::trie() {
  std::call_once(trie_once_, [this] { trie_ = TokenTrie::build(*tokenizer_); });
  return trie_;
}

Result<std::shared_ptr<const Constraint>> GrammarStore::from_gbnf(const std::string& text,
                                                                  Stop stop) {
  return find_or_compile("g" + text, Limits(), std::move(stop),
                         [&text](Grammar& into) { return parse_gbnf(text, into); });
}

Result<std::shared_ptr<const Constraint>> GrammarStore::from_schema(const Json& schema, Stop stop) {
  std::string text = dump_json(schema);
  const size_t limit = schema_limits().max_source_bytes;
  if (text.size() > limit) {
    return over_limit("the JSON schema is too long (bytes)", text.size(), limit, "shorten it");
  }
  return find_or_compile("s" + std::move(text), schema_limits(), std::move(stop),
                         [&schema](Grammar& into) { return parse_json_schema(schema, into); });
}

Result<std::shared_ptr<const Constraint>> GrammarStore::any_object(Stop stop) {
  return find_or_compile("o", schema_limits(), std::move(stop), any_json_object);
}

Result<GrammarStore::Pointer> GrammarStore::find_or_compile(std::string key, const Limits& limits,
                                                            Stop stop, const Parse& parse) {
  if (Pointer known = find(key)) return known;
  Budget budget(limits, Budget::Clock::now() + options_.compile_time, std::move(stop));
  Grammar grammar(budget);
  QUERN_RETURN_IF_ERROR(parse(grammar));
  QUERN_ASSIGN_OR_RETURN(Automaton automaton, compile(grammar));
  QUERN_ASSIGN_OR_RETURN(Pointer made, Constraint::create(std::move(automaton), trie()));
  remember(std::move(key), made);
  return made;
}

GrammarStore::Pointer GrammarStore::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, it->second);
  return entries_.front().constraint;
}

void GrammarStore::remember(std::string key, const Pointer& constraint) {
  const std::lock_guard lock(mutex_);
  if (by_key_.contains(key)) return;
  entries_.push_front({key, constraint});
  by_key_.emplace(std::move(key), entries_.begin());
  // Tables grow while they are used, so all sizes are asked for anew.
  size_t total = 0;
  size_t kept = 0;
  for (const Entry& entry : entries_) {
    total += entry.key.size() + entry.constraint->bytes();
    if (kept > 0 && (total > options_.max_bytes || kept == kMaxEntries)) break;
    ++kept;
  }
  while (entries_.size() > kept) {
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

size_t GrammarStore::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace quern::grammar
