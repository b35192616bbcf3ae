"""Writes small tokenizers of each kind, with the ids that the reference libraries give.

Run:  python tests/golden/convert/make_tokenizers.py
Needs tokenizers 0.23.3 and sentencepiece 0.2.3 from PyPI. Trained on the lines below; expected.json
holds for every line its ids without and with the special tokens that the tokenizer adds.
"""

import io
import json
import pathlib
import shutil

import sentencepiece
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

HERE = pathlib.Path(__file__).parent
CORPUS = ["the quick brown fox jumps over the lazy dog", "she sells sea shells by the sea shore",
          "hello there, hello here; the end of the other one", "in 1999 there were 12345 of them",
          "don't we'll they've it's I'm you'd you're", "a  b   c    d\n\n\tend of line\n",
          "the theatre over there is the other theatre"] * 3
TEXTS = ["", "hello", "hello there", " the the  the", "don't DON'T we'll", "12345 and 007",
         "one\n\ntwo\r\n\tthree   ", "h\u00e9llo \u4f60\u597d \U0001f600", "quick<|end|>brown <s> fox",
         "a.b,c!?(d)", "theatre over\u00a0there", "  ", "it's 3.14%\n"]
GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")
MARK = "\u2581"


def split(regex):
    return pre_tokenizers.Split(Regex(regex), "isolated")


def byte_level(pre_tokenizer, normalizer=None, ignore_merges=False, bos=True):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=330, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(CORPUS, trainer)
    if ignore_merges:  # a word that no merge makes
        model = json.loads(tokenizer.to_str())
        model["model"]["vocab"]["\u0120fox"] = len(model["model"]["vocab"])
        model["model"]["ignore_merges"] = True
        tokenizer = Tokenizer.from_str(json.dumps(model))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "<|end|>"])
    tokenizer.add_tokens([AddedToken("theatre", special=False, normalized=False)])
    if bos:
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B",
                                          special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])])
    return tokenizer


def train_pieces():
    """The bytes of a tokenizer.model, of BPE with byte fallback."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=out, model_type="bpe", vocab_size=340,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        user_defined_symbols=["<|user|>"], minloglevel=2)
    return out.getvalue()


def pieces_as_json(model, legacy, prefix):
    """tokenizer.json of the same pieces: every split of a piece is a merge, by score."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocab = {pieces.id_to_piece(i): i for i in range(pieces.get_piece_size())}
    merges = []
    for text, i in vocab.items():
        if pieces.is_control(i) or pieces.is_byte(i) or pieces.is_unknown(i):
            continue
        for at in range(1, len(text)):
            if text[:at] in vocab and text[at:] in vocab:
                merges.append((-pieces.get_score(i), vocab[text[:at]], text[:at], text[at:]))
    merges = [(left, right) for _, _, left, right in sorted(merges)]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True,
                                     byte_fallback=True))
    replace = normalizers.Replace(" ", MARK)
    if legacy:
        parts = [normalizers.Prepend(MARK)] if prefix else []
        tokenizer.normalizer = normalizers.Sequence(parts + [replace])
    else:
        scheme = "first" if prefix else "never"
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, scheme, split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(),
                                           decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.add_tokens([AddedToken("<|user|>", special=False, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return tokenizer


def write(name, tokenizer, config, model=None):
    folder = HERE / "tokenizers" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if tokenizer:
        (folder / "tokenizer.json").write_text(tokenizer.to_str())
        n = tokenizer.get_vocab_size()
        rows = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids,
                 "framed": tokenizer.encode(text).ids} for text in TEXTS]
    if model:
        (folder / "tokenizer.model").write_bytes(model)
    if not tokenizer:
        pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
        n = pieces.get_piece_size()
        rows = [{"text": text, "ids": pieces.encode(text), "framed": [1] + pieces.encode(text)}
                for text in TEXTS if "<s>" not in text]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "expected.json").write_text(json.dumps({"n": n, "rows": rows}, ensure_ascii=False))
    print(name, n, sum(len(row["ids"]) for row in rows), "ids")


def main():
    raw = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
            "eos_token": {"content": "<|end|>"}}
    write("gpt-2", byte_level(plain, bos=False), {"eos_token": "<|end|>"})
    write("llama-bpe", byte_level(pre_tokenizers.Sequence([split(GPT4 % "{1,3}"), raw]),
                                  ignore_merges=True), fast)
    write("qwen2", byte_level(pre_tokenizers.Sequence([split(GPT4 % ""), raw]), normalizers.NFC(),
                              bos=False), {"eos_token": "<|end|>", "add_bos_token": False})
    write("starcoder", byte_level(pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), plain]), bos=False), {"eos_token": "<|end|>"})
    model = train_pieces()
    ids = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    write("pieces", pieces_as_json(model, True, True), ids)
    write("pieces-metaspace", pieces_as_json(model, False, False), ids)
    write("pieces-model-only", None, ids, model)


if __name__ == "__main__":
    main()
