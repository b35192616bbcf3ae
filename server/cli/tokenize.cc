// `quern tokenize`: token ids and pieces of a text.
#include <iostream>
#include <iterator>

#include "config/base/json.h"
#include "models/gguf/reader.h"
#include "models/loader/embedded_model.h"
#include "models/tokenizer/tokenizer.h"
#include "server/cli/command.h"

namespace quern::cli {
namespace {

struct TokenizeArguments {
  std::string model;
  std::string text;
  bool from_stdin = true;
  bool bos = false;
  bool special = false;
  bool json = false;
};

Status print_tokens(const Process& process, const TokenizeArguments& arguments) {
  QUERN_ASSIGN_OR_RETURN(const auto file, loader::open_file_or_embedded(arguments.model));
  QUERN_ASSIGN_OR_RETURN(const auto tokenizer,
                         tokenizer::Tokenizer::from_metadata(file->metadata()));
  std::string text = arguments.text;
  if (arguments.from_stdin) {
    text.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  const auto parsing =
      arguments.special ? tokenizer::SpecialParsing::kParse : tokenizer::SpecialParsing::kText;
  QUERN_ASSIGN_OR_RETURN(std::vector<tokenizer::TokenId> ids, tokenizer->encode(text, parsing));
  if (arguments.bos && tokenizer->special().bos) {
    ids.insert(ids.begin(), *tokenizer->special().bos);
  }
  if (!arguments.json) {
    for (const tokenizer::TokenId id : ids) {
      process.out << id << '\t' << tokenizer->text(id) << '\n';
    }
    process.out.flush();
    return ok_status();
  }
  Json tokens = Json::array();
  for (const tokenizer::TokenId id : ids) {
    tokens.push_back({{"id", id}, {"text", std::string(tokenizer->text(id))}});
  }
  process.out << dump_json(tokens) << std::endl;
  return ok_status();
}

}  // namespace

Action define_tokenize(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<TokenizeArguments>();
  app.add_option("-m,--model", arguments->model,
                 "GGUF file whose vocabulary to use, or the name of an embedded model; "
                 "tales5m when absent");
  CLI::Option* text = app.add_option("TEXT", arguments->text, "text; standard input when absent");
  app.add_flag("--bos", arguments->bos, "put the beginning-of-text token first");
  app.add_flag("--special", arguments->special, "recognise control tokens in the text");
  app.add_flag("--json", arguments->json, "print a JSON array");
  app.footer(
      "\nExamples:\n"
      "  quern tokenize \"Once upon a time\"\n"
      "  quern tokenize -m model.gguf --json < prompt.txt\n");
  return [arguments, text, &process] {
    arguments->from_stdin = text->count() == 0;
    if (const Status done = print_tokens(process, *arguments); !done.ok()) {
      return fail(process, done.error());
    }
    return kExitDone;
  };
}

}  // namespace quern::cli
