// Random texts that a schema permits, for an independent validator (check_walks.py).
//
// Reads one JSON schema per line; writes a line {"error": message} or {"texts": [...]} for each.
// Texts are drawn token by token from masks over the demo model's vocabulary.
//   usage: grammar_walk TEXTS_PER_SCHEMA < schemas > texts
#include <charconv>
#include <iostream>
#include <string>

#include "config/base/json.h"
#include "engine/grammar/grammar_store.h"
#include "engine/grammar/matcher.h"
#include "models/gguf/reader.h"
#include "models/loader/embedded_model.h"
#include "models/tokenizer/tokenizer.h"

namespace {

using quern::Json;
using quern::grammar::Matcher;
using quern::grammar::TokenId;

class Random {
 public:
  uint64_t below(uint64_t n) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return (state_ >> 33) % n;
  }

 private:
  uint64_t state_ = 42;
};

// Signs that end something are taken more often, so that texts end.
bool closes(std::string_view bytes) {
  return !bytes.empty() && std::string_view("\"]},:").find(bytes.front()) != std::string_view::npos;
}

// A whole text, or nothing when it does not end within a bound.
std::optional<std::string> walk(const quern::tokenizer::Tokenizer& tokenizer,
                                std::shared_ptr<const quern::grammar::Constraint> constraint,
                                Random& random) {
  Matcher matcher(std::move(constraint), false);
  std::string text;
  for (int step = 0; step < 1500; ++step) {
    if (matcher.complete()) return text;
    const auto mask = matcher.mask();
    if (!mask.ok()) return "!" + mask.error().message();
    std::vector<TokenId> choices;
    std::vector<TokenId> closing;
    for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
      if (!(*mask)->permits(id)) continue;
      choices.push_back(id);
      if (tokenizer.is_end_of_generation(id)) closing.push_back(id);
      if (closes(tokenizer.bytes(id))) closing.push_back(id);
    }
    const bool close = !closing.empty() && random.below(100) < (step < 200 ? 25U : 90U);
    const auto& from = close ? closing : choices;
    const TokenId token = from[random.below(from.size())];
    if (tokenizer.is_end_of_generation(token)) return text;
    if (!matcher.accept(token).ok()) return "!a permitted token was refused";
    text += tokenizer.bytes(token);
  }
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  int n_texts = 5;
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::string_view(argv[1]).size(), n_texts);
  const auto file =
      quern::gguf::GgufFile::from_bytes(quern::loader::embedded_model("stories260k"), "demo");
  if (!file.ok()) return 1;
  const auto tokenizer = quern::tokenizer::Tokenizer::from_metadata((*file)->metadata());
  if (!tokenizer.ok()) return 1;
  quern::grammar::GrammarStore store(**tokenizer);
  Random random;
  for (std::string line; std::getline(std::cin, line);) {
    const auto schema = quern::parse_json(line);
    if (!schema.ok()) return 1;
    Json out;
    const auto constraint = store.from_schema(*schema);
    if (!constraint.ok()) {
      out["error"] = constraint.error().message();
    } else {
      out["texts"] = Json::array();
      for (int i = 0; i < n_texts; ++i) {
        if (auto text = walk(**tokenizer, *constraint, random)) out["texts"].push_back(*text);
      }
    }
    std::cout << quern::dump_json(out) << "\n";
  }
  return 0;
}
