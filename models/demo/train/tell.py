"""How the weights of a GGUF file go on with a text, by PyTorch, dequantized: always the likeliest token.

  python3 tell.py ../tales5M.gguf "PROMPT"

`quern run --temperature 0 -n -1 "PROMPT"` prints the same where no decision is close: it rounds the
inputs of matrix products to 8 bits. tests/golden/demo holds one such text.
"""
import sys

import gguf
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from model import Model, Shape
from prepare import BOS, EOS


def weights_of(reader):
    """The state of model.py from the file's tensors, dequantized."""
    return {tensor.name: torch.from_numpy(
        gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy()) for tensor in reader.tensors}


def tokenizer_of(reader):
    vocabulary = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(vocabulary)},
                                     [tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def main():
    reader, prompt = gguf.GGUFReader(sys.argv[1]), sys.argv[2]
    model = Model(Shape())
    model.load_state_dict(weights_of(reader))
    tokenizer = tokenizer_of(reader)
    tokens, closest = [BOS, *tokenizer.encode(prompt).ids], float("inf")
    told = len(tokens)
    with torch.no_grad():
        while len(tokens) < Shape().context and tokens[-1] != EOS:
            best = model(torch.tensor([tokens]))[0, -1].topk(2)
            closest = min(closest, (best.values[0] - best.values[1]).item())
            tokens.append(best.indices[0].item())
    print(tokenizer.decode([token for token in tokens[told:] if token != EOS]))
    print(f"closest decision: {closest:.3f} between the best two logits", file=sys.stderr)


if __name__ == "__main__":
    main()
