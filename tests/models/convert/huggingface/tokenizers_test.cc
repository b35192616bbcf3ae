// Tokenizers of every kind give the ids of the libraries that made them, and those that would not
// are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "models/convert/huggingface/tokenizer_files.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/models/convert/huggingface/model_folder.h"

namespace quern::huggingface {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ModelFolder;
using tokenizer::TokenId;

struct Converted {
  Status status;
  gguf::Metadata keys;
  std::vector<std::string> notes;

  std::string error() const { return status.ok() ? "accepted" : status.error().message(); }
  std::string text(const std::string& key) const {
    return std::string(*keys.get_string("tokenizer.ggml." + key));
  }
};

Converted convert(const ModelFolder& folder, uint64_t n_vocab, const Json& config = Json()) {
  Converted out;
  out.keys.set("general.name", std::string("m"));
  out.status = set_tokenizer(folder.path(), config, n_vocab, out.keys, out.notes);
  return out;
}

class SavedTokenizer : public ::testing::TestWithParam<const char*> {};

void expect_ids(const ModelFolder& folder) {
  const Json expected = testing::json_of(folder.path() / "expected.json");
  const Converted converted = convert(folder, expected["n"].get<uint64_t>());
  ASSERT_TRUE(converted.status.ok()) << converted.error();
  const auto tokenizer = tokenizer::Tokenizer::from_metadata(converted.keys);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  const auto& special = (*tokenizer)->special();
  for (const Json& row : expected["rows"]) {
    const auto text = row["text"].get<std::string>();
    SCOPED_TRACE(text);
    auto ids = (*tokenizer)->encode(text, tokenizer::SpecialParsing::kParse);
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(*ids, row["ids"].get<std::vector<TokenId>>());
    if (special.add_bos) ids->insert(ids->begin(), *special.bos);
    if (special.add_eos) ids->push_back(*special.eos);
    EXPECT_EQ(*ids, row["framed"].get<std::vector<TokenId>>());
  }
}

TEST_P(SavedTokenizer, GivesTheIdsOfTheReference) {
  ModelFolder folder;
  folder.add(std::string("tokenizers/") + GetParam());
  expect_ids(folder);
}

INSTANTIATE_TEST_SUITE_P(All, SavedTokenizer,
                         ::testing::Values("gpt-2", "llama-bpe", "qwen2", "starcoder", "pieces",
                                           "pieces-metaspace", "pieces-model-only"),
                         [](const auto& saved) {
                           std::string name = saved.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Both files: scores of one, all else of the other.
ModelFolder& with_model_file(ModelFolder& folder) {
  folder.add("tokenizers/pieces");
  folder.write(
      "tokenizer.model",
      testing::bytes_of(testing::golden_folder() / "tokenizers/pieces-model-only/tokenizer.model"));
  return folder;
}

TEST(Tokenizers, ModelFileBesideTheOther) {
  ModelFolder folder;
  expect_ids(with_model_file(folder));
}

TEST(Tokenizers, SpaceBeforeTheFirstTextOnlyIsNoted) {
  ModelFolder folder;
  folder.add("tokenizers/pieces-metaspace");
  folder.edit("tokenizer.json",
              [](Json& json) { json["pre_tokenizer"]["prepend_scheme"] = "first"; });
  const Converted converted = convert(folder, 400);
  ASSERT_TRUE(converted.status.ok()) << converted.error();
  EXPECT_TRUE(*converted.keys.get_bool("tokenizer.ggml.add_space_prefix"));
  EXPECT_THAT(converted.notes, ElementsAre(HasSubstr("before a text only")));
}

TEST(Tokenizers, RulesAreRecognisedByTheirContent) {
  for (const char* name : {"gpt-2", "llama-bpe", "qwen2", "starcoder"}) {
    ModelFolder folder;
    folder.add(std::string("tokenizers/") + name);
    const Converted converted = convert(folder, 400);
    ASSERT_TRUE(converted.status.ok()) << converted.error();
    EXPECT_EQ(converted.text("model"), "gpt2");
    EXPECT_EQ(converted.text("pre"), name);
    EXPECT_EQ(converted.notes.size(), std::string(name) == "qwen2" ? 1u : 0u);  // NFC
  }
}

TEST(Tokenizers, OtherRulesAreRefusedWithWhatIsKnown) {
  ModelFolder folder;
  folder.add("tokenizers/qwen2");
  const auto with_regex = [&](const std::string& regex) {
    folder.edit("tokenizer.json", [&](Json& json) {
      json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = regex;
    });
    return convert(folder, 400).error();
  };
  const std::string message = with_regex("\\p{L}+|\\p{N}+");
  EXPECT_THAT(message, HasSubstr("tokenizer.json: the tokenizer splits text by '\\p{L}+|\\p{N}+'"));
  EXPECT_THAT(message, HasSubstr("llama-bpe"));
  const auto with = [](const char* base, auto change) {
    ModelFolder other;
    other.add(std::string("tokenizers/") + base);
    other.edit("tokenizer.json", change);
    return convert(other, 400).error();
  };
  EXPECT_THAT(with("gpt-2", [](Json& j) { j["model"]["ignore_merges"] = true; }),
              HasSubstr("ignores merges"));
  EXPECT_THAT(with("gpt-2", [](Json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; }),
              HasSubstr("add_prefix_space"));
  EXPECT_THAT(with("gpt-2",
                   [](Json& j) {
                     j["pre_tokenizer"] = {{"type", "Whitespace"}};
                   }),
              HasSubstr("'Whitespace' is not known"));
  EXPECT_THAT(with("gpt-2", [](Json& j) { j["pre_tokenizer"] = nullptr; }),
              HasSubstr("neither on bytes"));
  EXPECT_THAT(with("gpt-2",
                   [](Json& j) {
                     j["normalizer"] = {{"type", "Lowercase"}};
                   }),
              HasSubstr("'Lowercase' is not known"));
  EXPECT_THAT(with("gpt-2", [](Json& j) { j["model"]["type"] = "Unigram"; }), HasSubstr("Unigram"));
  EXPECT_THAT(with("gpt-2",
                   [](Json& j) {
                     j["post_processor"] = {{"type", "BertProcessing"}};
                   }),
              HasSubstr("BertProcessing"));
  EXPECT_THAT(with("pieces-metaspace", [](Json& j) { j["pre_tokenizer"]["split"] = true; }),
              HasSubstr("Metaspace"));
}

TEST(Tokenizers, DamagedFilesAreRefused) {
  const auto with = [](auto change) {
    ModelFolder folder;
    folder.add("tokenizers/gpt-2");
    folder.edit("tokenizer.json", change);
    return convert(folder, 400).error();
  };
  EXPECT_THAT(with([](Json& j) { j.erase("model"); }), HasSubstr("'model' is missing"));
  EXPECT_THAT(with([](Json& j) { j["model"]["vocab"] = 1; }), HasSubstr("'vocab' is no object"));
  EXPECT_THAT(with([](Json& j) { j["model"]["vocab"]["a"] = -1; }), HasSubstr("no whole number"));
  EXPECT_THAT(with([](Json& j) { j["model"]["vocab"]["zz"] = 1u << 30; }),
              HasSubstr("'zz' has the id 1073741824, but config.json has a vocab_size of 400"));
  EXPECT_THAT(with([](Json& j) { j["model"]["vocab"]["zz"] = 5; }),
              HasSubstr("both have the id 5"));
  EXPECT_THAT(with([](Json& j) { j["model"]["merges"].push_back("ab"); }), HasSubstr("no space"));
  EXPECT_THAT(with([](Json& j) { j["model"]["merges"].push_back(1); }), HasSubstr("a merge is"));
  EXPECT_THAT(with([](Json& j) {
                j["added_tokens"].push_back({{"content", "x"}});
              }),
              HasSubstr("no id"));
  EXPECT_THAT(with([](Json& j) {
                j["added_tokens"].push_back({{"id", 399}});
              }),
              HasSubstr("no content"));
}

// Merges whose order no score per token can say.
TEST(Tokenizers, MergesThatAreNoScoresAreRefused) {
  ModelFolder folder;
  folder.add("tokenizers/pieces");
  EXPECT_EQ(convert(folder, 400).error(), "accepted");
  folder.edit("tokenizer.json", [](Json& json) {
    Json& merges = json["model"]["merges"];
    merges.erase(merges.size() - 1);
  });
  EXPECT_THAT(convert(folder, 400).error(), HasSubstr("more ways than it has merges"));
  folder.add("tokenizers/pieces");
  folder.edit("tokenizer.json", [](Json& json) {
    // The token of the first merge has another one at the end.
    Json& merges = json["model"]["merges"];
    const Json first = merges.front();
    merges.push_back(first);
  });
  EXPECT_THAT(convert(folder, 400).error(), HasSubstr("alternate with others"));
}

TEST(Tokenizers, AnotherModelFileIsNotMixedIn) {
  ModelFolder folder;
  with_model_file(folder);
  folder.edit("tokenizer.json", [](Json& json) {
    json["added_tokens"].push_back({{"id", 345}, {"content", "<|new|>"}, {"special", true}});
  });
  const Converted extended = convert(folder, 400);
  ASSERT_TRUE(extended.status.ok()) << extended.error();
  EXPECT_THAT(extended.notes, IsEmpty());
  folder.write("tokenizer.model", "IQ== 0\n");
  const Converted other = convert(folder, 400);
  ASSERT_TRUE(other.status.ok()) << other.error();
  EXPECT_THAT(other.notes, ElementsAre(HasSubstr("tokenizer.model has other tokens")));
}

TEST(Tokenizers, EndsOfAnAnswer) {
  ModelFolder folder;
  folder.add("tokenizers/llama-bpe");
  const Json map = testing::json_of(folder.path() / "tokenizer.json")["model"]["vocab"];
  const auto id = [&](const char* text) { return map[text].get<uint64_t>(); };
  const Json ids = {id("a"), id("b"), id("c"), id("d")};
  folder.write("generation_config.json", dump_json(Json{{"eos_token_id", ids}}));
  const Converted converted = convert(folder, 400);
  ASSERT_TRUE(converted.status.ok()) << converted.error();
  EXPECT_EQ(*converted.keys.get_uint("tokenizer.ggml.eot_token_id"), id("a"));
  EXPECT_EQ(*converted.keys.get_uint("tokenizer.ggml.eom_token_id"), id("b"));
  EXPECT_THAT(converted.notes,
              ElementsAre(HasSubstr("('c') ends an answer"), HasSubstr("('d') ends an answer")));
}

TEST(Tokenizers, FramesThatCannotBeWritten) {
  ModelFolder folder;
  folder.add("tokenizers/llama-bpe");
  folder.edit("tokenizer.json", [](Json& json) {
    Json& single = json["post_processor"]["processors"][1]["single"];
    single.insert(single.begin(), single[0]);
  });
  EXPECT_THAT(convert(folder, 400).error(), HasSubstr("before every text; only BOS"));
}

TEST(Tokenizers, ChatTemplates) {
  ModelFolder folder;
  folder.add("tokenizers/gpt-2");
  folder.edit("tokenizer_config.json", [](Json& json) {
    json["chat_template"] = {{{"name", "default"}, {"template", "A"}},
                             {{"name", "tool_use"}, {"template", "B"}}};
  });
  const Converted named = convert(folder, 400);
  ASSERT_TRUE(named.status.ok()) << named.error();
  EXPECT_EQ(*named.keys.get_string("tokenizer.chat_template"), "A");
  EXPECT_EQ(*named.keys.get_string("tokenizer.chat_template.tool_use"), "B");
  folder.write("chat_template.jinja", "C");
  EXPECT_EQ(*convert(folder, 400).keys.get_string("tokenizer.chat_template"), "C");
}

}  // namespace
}  // namespace quern::huggingface
