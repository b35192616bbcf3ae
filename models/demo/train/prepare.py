"""Makes everything that train.py reads: tokenizer, training tokens and held-out texts.

  python3 prepare.py OUT --stories 40000 --book moby-dick.txt --book emma.txt ...

OUT/tokenizer.json  byte-level BPE with GPT-2's pieces, learned from both kinds of text
OUT/train.bin       uint16 little-endian tokens; the top bit says that the token is context and not
                    to be learned (what a user says)
OUT/scenes.bin      the same of scenes.py, for a stage of their own
OUT/tales.bin, OUT/books.bin   the same, held out
OUT/heldout-tales.txt, OUT/heldout-books.txt   the same as text, for `quern perplexity`
"""
import argparse
import random
import re
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import scenes
import write_tales

VOCABULARY = 2048
SPECIALS = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]
BOS, EOS = 0, 1
CONTEXT = 1 << 15
PIECE = 4000        # characters of a book in one document
BOOKS_OVER = 3      # how often the books are repeated for each pass over the tales
HELD_OUT_TALES = 150
HELD_OUT_BOOK = 0.03
TRAIN_SEED, SCENE_SEED, HELD_OUT_SEED = 1, 5, 1_000_003
N_SCENES = 30000    # of each kind


def read_book(path):
    """Paragraphs of a book, each on one line, quotation marks straight."""
    text = Path(path).read_text(encoding="utf-8", errors="replace").replace("\r", "")
    text = text.translate(str.maketrans("“”‘’", "\"\"''")).replace("—", "--")
    paragraphs = (re.sub(r"\s+", " ", part).strip() for part in re.split(r"\n\s*\n", text))
    return [part for part in paragraphs if part]


def pieces(paragraphs):
    """Documents of about PIECE characters each, whole paragraphs."""
    found, size = [[]], 0
    for paragraph in paragraphs:
        if size > PIECE:
            found.append([])
            size = 0
        found[-1].append(paragraph)
        size += len(paragraph) + 1
    return ["\n".join(part) for part in found]


def train_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer, document):
    """Tokens of a plain text or of a chat with what the model need not say marked CONTEXT."""
    def ids(text):
        return tokenizer.encode(text, add_special_tokens=False).ids
    if isinstance(document, str):
        return [BOS | CONTEXT, *ids(document), EOS]
    tokens = [BOS | CONTEXT]
    for role, text in document:
        said = [SPECIALS.index(f"<|{role}|>"), *ids(text)]
        if role == "assistant":
            tokens += [said[0] | CONTEXT, *said[1:], EOS]
        else:
            tokens += [token | CONTEXT for token in said]
    return tokens


def write_tokens(path, documents):
    """`documents`: the tokens of each."""
    tokens = np.array([token for document in documents for token in document], dtype="<u2")
    tokens.tofile(path)
    print(f"{path}: {len(documents)} documents, {len(tokens)} tokens")


def scene_tokens(tokenizer, plots):
    draw = random.Random(SCENE_SEED)
    for _ in range(N_SCENES):
        yield encode(tokenizer, scenes.scene(draw))
        tokens = encode(tokenizer, scenes.beginning(draw, plots))
        tokens[-1] |= CONTEXT  # the story is not at its end
        yield tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--stories", type=int, default=40000)
    parser.add_argument("--book", action="append", default=[])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    plots = write_tales.read_plots(Path(__file__).parent / "plots")
    draw = random.Random(TRAIN_SEED)
    documents = [write_tales.document(draw, plots) for _ in range(args.stories)]
    held_out_draw = random.Random(HELD_OUT_SEED)
    tales = [write_tales.tale(held_out_draw, plots)[0] for _ in range(HELD_OUT_TALES)]

    learned, held_out = [], []
    for path in args.book:
        paragraphs = read_book(path)
        cut = int(len(paragraphs) * (1 - HELD_OUT_BOOK))
        learned += pieces(paragraphs[:cut])
        held_out += pieces(paragraphs[cut:])
    plain = [d for d in documents if isinstance(d, str)]
    tokenizer = train_tokenizer(plain[:6000] + learned)
    tokenizer.save(str(args.out / "tokenizer.json"))

    documents += learned * BOOKS_OVER
    draw.shuffle(documents)
    write_tokens(args.out / "train.bin", [encode(tokenizer, d) for d in documents])
    write_tokens(args.out / "scenes.bin", list(scene_tokens(tokenizer, plots)))
    for name, held in (("tales", tales), ("books", held_out)):
        write_tokens(args.out / f"{name}.bin", [encode(tokenizer, d) for d in held])
        (args.out / f"heldout-{name}.txt").write_text("\n\n".join(held) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
