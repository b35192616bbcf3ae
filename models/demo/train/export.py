"""Writes the trained model as GGUF with matrices in F16:  python3 export.py DATA out.gguf

`quern quantize` makes every other recipe from it.
"""
import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch

from model import Shape
from prepare import BOS, EOS, SPECIALS

TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}<|system|>{{ message['content'] }}"
    "{% elif message['role'] == 'assistant' %}<|assistant|>{{ message['content'] }}{{ eos_token }}"
    "{% else %}<|user|>{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_vocabulary(writer, tokenizer):
    found = tokenizer["model"]["vocab"]
    tokens = sorted(found, key=found.get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([control if t in SPECIALS else normal for t in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE)


def write_shape(writer, shape):
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    weights = torch.load(args.data / "checkpoint.pt", weights_only=True)["model"]
    tokenizer = json.loads((args.data / "tokenizer.json").read_text(encoding="utf-8"))

    writer = gguf.GGUFWriter(args.out, "llama")
    writer.add_name("tales5M")
    writer.add_license("mit")
    writer.add_languages(["en"])
    writer.add_description("Writes little stories. Trained by models/demo/train of Quern.")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    write_shape(writer, Shape())
    write_vocabulary(writer, tokenizer)
    for name, weight in weights.items():
        values = weight.float().numpy()
        writer.add_tensor(name, values.astype(np.float16) if values.ndim == 2 else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
