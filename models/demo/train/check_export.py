"""Perplexity of the trained weights by PyTorch, to compare with `quern perplexity` on the exported file:

  python3 check_export.py DATA DATA/heldout-tales.txt --windows 40

The text is cut as `quern perplexity` cuts it: windows of the whole context, each with the token of
beginning in the place of its first one, of which the second half is scored.
"""
import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from model import Model, Shape
from prepare import BOS


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--windows", type=int, default=0)
    args = parser.parse_args()
    shape = Shape()
    model = Model(shape)
    model.load_state_dict(torch.load(args.data / "checkpoint.pt", weights_only=True)["model"])
    tokenizer = Tokenizer.from_file(str(args.data / "tokenizer.json"))
    tokens = [BOS, *tokenizer.encode(args.text.read_text(encoding="utf-8")).ids]
    count = len(tokens) // shape.context
    count = min(count, args.windows or count)
    rows = torch.tensor(tokens[:count * shape.context]).view(count, shape.context)
    first = shape.context // 2
    losses = []
    with torch.no_grad():
        for row in rows:
            row[0] = BOS
            logits = model(row[None])[0, first:-1]
            losses.append(F.cross_entropy(logits, row[first + 1:], reduction="none"))
    losses = torch.cat(losses)
    print(f"perplexity {math.exp(losses.mean().item()):.4f}, {len(losses)} tokens, {count} windows")


if __name__ == "__main__":
    main()
