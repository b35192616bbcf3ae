// Time that a grammar adds per token: masks made for the first time, masks found again, and steps.
//
//   usage: grammar_bench [VOCABULARY.gguf]     (without: a made-up vocabulary of 128,256 tokens)
//
// A text that satisfies the grammar is read token by token, always the longest token that fits, as
// a model would write it; each mask is timed. "cold": a new constraint; "warm": the same text
// again.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/grammar/gbnf.h"
#include "engine/grammar/json_schema.h"
#include "engine/grammar/matcher.h"
#include "models/gguf/reader.h"
#include "models/tokenizer/tokenizer.h"

namespace quern::grammar {
namespace {

double now_us() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

uint64_t next_random(uint64_t& state) {
  state = state * 6364136223846793005U + 1442695040888963407U;
  return state >> 33;
}

// Words with and without a space before, runs of spaces and signs, numbers, other scripts.
std::vector<std::string> made_up_vocabulary() {
  constexpr size_t kSize = 128256;
  constexpr std::string_view kLetters = "eeeeaaaiiooutttnnssrrhhldcumfpgwybvkxjqz";
  constexpr std::string_view kSigns = ".,:;!?\"'()[]{}<>/\\|=+-*&^%$#@~`_";
  std::vector<std::string> out(1);
  for (int byte = 0; byte < 256; ++byte) out.emplace_back(1, static_cast<char>(byte));
  for (size_t n = 2; n <= 128; ++n) out.emplace_back(n, ' ');
  for (int i = 0; i < 1000; ++i) out.push_back(std::to_string(i));
  uint64_t random = 1;
  while (out.size() < kSize) {
    const uint64_t kind = next_random(random) % 100;
    std::string text = kind % 2 == 0 ? " " : "";
    if (kind < 70) {
      const uint64_t n = 2 + next_random(random) % 9;
      for (uint64_t i = 0; i < n; ++i) text += kLetters[next_random(random) % kLetters.size()];
      if (kind < 10) text[text.size() > 1 ? 1 : 0] -= 'a' - 'A';
    } else if (kind < 82) {
      const uint64_t n = 2 + next_random(random) % 4;
      for (uint64_t i = 0; i < n; ++i) text += kSigns[next_random(random) % kSigns.size()];
      if (kind < 76) text += "\n";
    } else {
      const uint32_t base = kind < 90 ? 0x4E00 : 0x430;
      const uint64_t n = 1 + next_random(random) % 4;
      for (uint64_t i = 0; i < n; ++i) {
        append_utf8(base + static_cast<uint32_t>(next_random(random) % (kind < 90 ? 8000 : 32)),
                    text);
      }
    }
    out.push_back(std::move(text));
  }
  return out;
}

struct Subject {
  const char* name;
  const char* source;
  std::string text;
};

std::string long_text(size_t n) {
  std::string out;
  while (out.size() < n) out += "the little dog was so happy that it ran over the green hill and ";
  out.resize(n);
  return out;
}

std::vector<Subject> subjects() {
  const std::string prose = long_text(600);
  return {
      {"schema: person",
       R"({"type":"object","properties":{"name":{"type":"string","maxLength":60},"age":{"type":"integer","minimum":0,"maximum":150},"tags":{"type":"array","items":{"type":"string"},"maxItems":8},"mail":{"type":"string","format":"email"}},"required":["name","age","tags"],"additionalProperties":false})",
       R"({"name": "Ann of Green Gables", "age": 34, "tags": ["happy", "green hill", "dog"], "mail": "ann.hill@example.org"})"},
      {"schema: free strings",
       R"({"type":"object","properties":{"summary":{"type":"string"},"answer":{"type":"string"}},"required":["summary","answer"],"additionalProperties":false})",
       "{\"summary\": \"" + prose + "\", \"answer\": \"" + prose + "\"}"},
      {"schema: maxLength 2000", R"({"type":"string","maxLength":2000})", "\"" + prose + "\""},
      {"schema: any JSON", R"({"type":"object"})",
       R"({"a": [1, 2.5, {"b": [true, null, "the little dog"]}], "c": {"d": {"e": [[[]]]}}, "f": "so happy"})"},
      {"gbnf: sentences", "root ::= ([A-Za-z0-9,' ]+ [.!?] \" \"?)+",
       "It was a little dog. It was so happy that it ran! Was it green? Over the hill, it was."},
      {"gbnf: anything", "root ::= .*", prose},
      {"gbnf: list", "root ::= (\"- \" [^\\n]{3,80} \"\\n\"){3,9}",
       "- the little dog\n- the green hill\n- so happy\n"},
  };
}

Result<Automaton> compiled(const Subject& subject) {
  Budget budget;
  Grammar grammar(budget);
  if (std::string_view(subject.name).starts_with("schema")) {
    QUERN_ASSIGN_OR_RETURN(const Json schema, parse_json(subject.source));
    QUERN_RETURN_IF_ERROR(parse_json_schema(schema, grammar));
  } else {
    QUERN_RETURN_IF_ERROR(parse_gbnf(subject.source, grammar));
  }
  return compile(grammar);
}

TokenId longest_token(const TokenTrie& trie, std::string_view rest) {
  TokenId best = -1;
  uint32_t node = trie.root_child(static_cast<uint8_t>(rest[0]));
  for (size_t depth = 1; node != 0; ++depth) {
    if (trie.first_token(node + 1) > trie.first_token(node)) {
      best = trie.token(trie.first_token(node));
    }
    if (depth == rest.size()) break;
    const uint32_t end = node + trie.size(node);
    uint32_t child = node + 1;
    while (child < end && trie.byte(child) != static_cast<uint8_t>(rest[depth])) {
      child += trie.size(child);
    }
    node = child < end ? child : 0;
  }
  return best;
}

struct Times {
  std::vector<double> masks;
  std::vector<double> steps;
};

void read_text(const std::shared_ptr<const Constraint>& constraint, const std::string& text,
               Times& times) {
  Matcher matcher(constraint, false);
  std::string_view rest = text;
  while (!rest.empty()) {
    const double begin = now_us();
    const auto mask = matcher.mask();
    const double middle = now_us();
    const TokenId token = longest_token(constraint->trie(), rest);
    if (!mask.ok() || token < 0 || !(*mask)->permits(token)) {
      std::printf("  the text is not permitted at \"%.20s\"\n", rest.data());
      return;
    }
    const double before = now_us();
    if (!matcher.accept(token).ok()) return;
    times.steps.push_back(now_us() - before);
    times.masks.push_back(middle - begin);
    rest.remove_prefix(constraint->trie().bytes_of(token).size());
  }
}

void print(const char* what, std::vector<double> times) {
  if (times.empty()) return;
  std::sort(times.begin(), times.end());
  const auto at = [&](double q) {
    return times[static_cast<size_t>(q * static_cast<double>(times.size() - 1))];
  };
  double sum = 0;
  for (const double t : times) sum += t;
  std::printf("    %-10s %5zu  mean %8.1f  p50 %8.1f  p99 %8.1f  worst %8.1f us\n", what,
              times.size(), sum / static_cast<double>(times.size()), at(0.5), at(0.99), at(1.0));
}

int bench(std::shared_ptr<const TokenTrie> trie) {
  Times all_cold;
  for (const Subject& subject : subjects()) {
    const double begin = now_us();
    auto automaton = compiled(subject);
    if (!automaton.ok()) {
      std::printf("%s: %s\n", subject.name, automaton.error().message().c_str());
      return 1;
    }
    const size_t nodes = automaton->nodes.size();
    auto constraint = Constraint::create(std::move(automaton).value(), trie);
    if (!constraint.ok()) return 1;
    std::printf("%s: compiled in %.0f us, %zu nodes\n", subject.name, now_us() - begin, nodes);
    Times cold;
    Times warm;
    read_text(*constraint, subject.text, cold);
    read_text(*constraint, subject.text, warm);
    print("cold mask", cold.masks);
    print("cold step", cold.steps);
    print("warm mask", warm.masks);
    print("warm step", warm.steps);
    all_cold.masks.insert(all_cold.masks.end(), cold.masks.begin(), cold.masks.end());
    std::printf("    memory     %zu KiB\n", (*constraint)->bytes() / 1024);
  }
  std::printf("all:\n");
  print("cold mask", all_cold.masks);
  return 0;
}

Result<std::shared_ptr<const TokenTrie>> trie_of(const char* path) {
  QUERN_ASSIGN_OR_RETURN(const auto file, gguf::GgufFile::open(path));
  QUERN_ASSIGN_OR_RETURN(const auto tokenizer,
                         tokenizer::Tokenizer::from_metadata(file->metadata()));
  return TokenTrie::build(*tokenizer);
}

}  // namespace
}  // namespace quern::grammar

int main(int argc, char** argv) {
  using namespace quern::grammar;
  const double begin = now_us();
  std::shared_ptr<const TokenTrie> trie;
  if (argc > 1) {
    auto made = trie_of(argv[1]);
    if (!made.ok()) {
      std::printf("%s\n", made.error().message().c_str());
      return 1;
    }
    trie = *made;
  } else {
    trie = TokenTrie::build(made_up_vocabulary(), {0});
  }
  std::printf("%lld tokens, %u nodes, trie built in %.1f ms\n",
              static_cast<long long>(trie->n_vocab()), trie->n_nodes(), (now_us() - begin) / 1000);
  return bench(trie);
}
