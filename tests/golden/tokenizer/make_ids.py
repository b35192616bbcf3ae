#!/usr/bin/env python3
"""Writes ids.json: token ids of real and awkward texts by other implementations.

Run: pip install gguf tokenizers sentencepiece protobuf
     python make_ids.py SHARED_DATA_DIR > ids.json
The vocabularies come from SHARED_DATA_DIR/tokenizers/*.gguf and are rebuilt for the reference:
byte-level BPE and WordPiece as Hugging Face tokenizers, Llama 2 as a SentencePiece model. Texts are
every 4th non-empty line of text/wikitext-2-test.txt and the torture texts stored in ids.json. A line
is frozen as [number of ids, FNV-1a of the ids as 32-bit little-endian words].
"""
import json
import random
import struct
import sys

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"]


def fields(path):
    reader = gguf.GGUFReader(path)
    return {k: v.contents() for k, v in reader.fields.items() if k.startswith("tokenizer.")}


def byte_level(f, pre):
    tokens = f["tokenizer.ggml.tokens"]
    merges = [tuple(m.split(" ")) for m in f["tokenizer.ggml.merges"]]
    # Only ordinary tokens: user-defined ones are matched before the model sees the text.
    types = f["tokenizer.ggml.token_type"]
    vocab = {t: i for i, t in enumerate(tokens)}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, fuse_unk=False))
    tok.pre_tokenizer = pre
    added = [t for t, k in zip(tokens, types) if k == 4]
    if added:
        tok.add_tokens(added)
    return lambda text: tok.encode(text, add_special_tokens=False).ids


def wordpiece(f):
    vocab = {}
    for i, t in enumerate(f["tokenizer.ggml.tokens"]):
        special = t.startswith("[") and t.endswith("]")
        vocab[t if special else t[1:] if t.startswith("\u2581") else "##" + t] = i
    tok = Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return lambda text: tok.encode(text, add_special_tokens=False).ids


def pieces(f):
    model = pb.ModelProto()
    model.trainer_spec.model_type = pb.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = False
    for text, score, kind in zip(f["tokenizer.ggml.tokens"], f["tokenizer.ggml.scores"],
                                 f["tokenizer.ggml.token_type"]):
        model.pieces.add(piece=text, score=score, type=kind)
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString()).encode


MAKERS = {
    "gpt-2": lambda f: byte_level(f, ByteLevel(add_prefix_space=False)),
    "starcoder": lambda f: byte_level(
        f, Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])),
    "deepseek-coder": lambda f: byte_level(
        f, Sequence([Split(Regex(p), "isolated") for p in CODER]
                    + [Digits(individual_digits=True),
                       ByteLevel(add_prefix_space=False, use_regex=False)])),
    "bert-bge": wordpiece,
    "llama-spm": pieces,
}

TORTURE = [
    "", " ", "\n", "\t", "\u0000", "a\u0000b", "  \n  \n", "\r\n\r\n", "\ufeffBOM", "\u200b\u200d",
    "\ue000\uf8ff", "\U0010ffff", "\ufffd\ufffe", "e\u0301\u0302\u0303" * 5, "\u0627\u0644\u0639",
    "👨‍👩‍👧‍👦" * 3, "🇩🇪🇫🇷", "ﷺ", "İıſKÅ", "ǅ ǆ Ǆ", "Ⅷ ⅷ ½ ² ₂ ٣ 三", "한국어 각", "ะำ กำ", "क्षि",
    "<s></s><unk><|endoftext|>[CLS][MASK]", "<0x0A><0xZZ>", "\u2581\u2581 \u2581", "a" * 300,
    " " * 70, "\n" * 40, "1" * 40, "!" * 50, "\u00a0\u3000\u2003x", "don't DON'T we'LL 's 'S",
    "𝕳𝖊𝖑𝖑𝖔 ｆｕｌｌｗｉｄｔｈ", "a\u0085b\u2028c\u2029d", "x = {'a': 1}\n\tif x:\n\t\tpass\n", "naïve café ÀÉÎÕÜ ß ẞ",
]


def torture():
    rng = random.Random(7)
    ranges = [(32, 126), (32, 126), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF),
              (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x2100, 0x218F),
              (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xACFF), (0xFE00, 0xFFEF),
              (0x1F300, 0x1F6FF), (9, 13)]
    out = list(TORTURE)
    for _ in range(300):
        text = ""
        for _ in range(rng.randint(1, 6)):
            lo, hi = rng.choice(ranges)
            text += "".join(chr(rng.randint(lo, hi)) for _ in range(rng.randint(1, 8)))
            # Punctuation since Unicode 14, which the tables of the reference do not know.
            text = text.replace("\u061d", "")
            text += rng.choice(["", " ", "\n", "  "])
        out.append(text)
    return out


def fnv(ids):
    h = 0x811C9DC5
    for b in struct.pack(f"<{len(ids)}I", *ids):
        h = ((h ^ b) * 0x01000193) & 0xFFFFFFFF
    return h


def main():
    data = sys.argv[1]
    with open(data + "/text/wikitext-2-test.txt", encoding="utf-8", newline="") as f:
        lines = [l for l in f.read().split("\n") if l.strip()][::4]
    texts = torture()
    out = []
    for name, make in MAKERS.items():
        encode = make(fields(f"{data}/tokenizers/ggml-vocab-{name}.gguf"))
        for part, some in (("torture", texts), ("wikitext", lines)):
            rows = [[len(ids), fnv(ids)] for ids in map(encode, some)]
            out.append(json.dumps(f"{name}/{part}") + ": " + json.dumps(rows, separators=(",", ":")))
    print('{"texts": ' + json.dumps(texts) + ",\n" + ",\n".join(out) + "\n}")


main()
