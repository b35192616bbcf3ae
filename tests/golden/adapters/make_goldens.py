#!/usr/bin/env python3
"""Makes the golden adapters of this folder: random LoRA adapters on the golden models of ../arch, with
the logits that peft on top of transformers computes for them.

Usage: make_goldens.py [output folder]     (needs peft, and what ../arch/make_goldens.py needs)

Each case is a folder: adapter_config.json and adapter_model.safetensors as peft saves them;
adapter.gguf, the same in the field's layout, written by the gguf package (query and key rows of
Llama interleaved as its model's are); and expected.gguf with `golden.base` (a file of ../arch),
`golden.prompt` and the tensor `golden.logits` [n_vocab, n_tokens].
"""
import shutil
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import peft
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "arch"))
import make_goldens as arch  # noqa: E402

PLAIN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
NAMES = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
         "qkv_proj": "attn_qkv", "gate_proj": "ffn_gate", "up_proj": "ffn_up",
         "gate_up_proj": "ffn_up", "down_proj": "ffn_down"}
# Name, base, configuration, half precision.
CASES = [
    ("llama", "llama_untied_bias",
     dict(r=4, lora_alpha=6, target_modules=PLAIN + ["lm_head"]), False),
    ("qwen2", "qwen2", dict(r=4, lora_alpha=3, use_rslora=True, target_modules=PLAIN), False),
    ("phi3", "phi3",
     dict(r=5, lora_alpha=7, rank_pattern={"down_proj": 2},
          target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]), True),
]


def base_model(name):
    """The model that ../arch/NAME.gguf holds, made anew; the file must hold the very same weights."""
    for seed, case in enumerate(arch.cases()):
        if case[0] == name:
            golden = arch.Golden(*case, seed=1000 + seed)
    reader = gguf.GGUFReader(HERE.parent / "arch" / f"{name}.gguf")
    stored = {tensor.name: tensor.data for tensor in reader.tensors}
    for key, data in golden.tensors():
        assert np.array_equal(stored[key], data), key
    prompt = reader.fields["golden.prompt"]
    return golden, [int(prompt.parts[i][0]) for i in prompt.data]


def adapter_tensors(state, golden):
    for key, value in sorted(state.items()):
        module, half = key.removeprefix("base_model.model.").rsplit(".lora_", 1)
        data = value.numpy()
        leaf = module.rsplit(".", 1)[-1]
        if leaf == "lm_head":
            name = "output.weight"
        else:
            name = f"blk.{module.split('.')[2]}.{NAMES[leaf]}.weight"
        if golden.arch == "llama" and half.startswith("B") and leaf in ("q_proj", "k_proj"):
            config = golden.config
            heads = (config.num_attention_heads if leaf == "q_proj"
                     else config.num_key_value_heads)
            data = arch.interleave(data, heads)
        yield f"{name}.lora_{half[0].lower()}", data


def write_adapter(path, golden, config, state):
    writer = gguf.GGUFWriter(path, golden.arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    # The file knows no rank-stabilized scaling: alpha / sqrt(rank) is alpha * sqrt(rank) / rank.
    alpha = config["lora_alpha"] * (config["r"]**0.5 if config.get("use_rslora") else 1)
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(alpha))
    for name, data in adapter_tensors(state, golden):
        writer.add_tensor(name, np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_expected(path, base, prompt, logits):
    writer = gguf.GGUFWriter(path, "expected")
    writer.add_string("golden.base", base)
    writer.add_array("golden.prompt", prompt)
    writer.add_tensor("golden.logits", logits)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(folder, name, base, config, half, seed):
    golden, prompt = base_model(base)
    with torch.no_grad():
        plain = golden.model(torch.tensor([prompt])).logits[0]
    model = peft.get_peft_model(golden.model, peft.LoraConfig(**config)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if ".lora_" not in key:
                continue
            fan_in = parameter.shape[1]
            noise = torch.randn(parameter.shape, generator=generator) * (0.8 / fan_in**0.5)
            parameter.copy_(noise.half().float() if half else noise)
        logits = model(torch.tensor([prompt])).logits[0]
        if half:
            for key, parameter in model.named_parameters():
                if ".lora_" in key:
                    parameter.data = parameter.data.half()
    out = folder / name
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as saved:
        # Or the base of an adapted output matrix goes along.
        model.save_pretrained(saved, save_embedding_layers=False)
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copyfile(Path(saved) / file, out / file)
    state = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    write_adapter(out / "adapter.gguf", golden, config, state)
    write_expected(out / "expected.gguf", base, prompt, logits.numpy().astype(np.float32))
    print(f"{name}: the adapter moves logits by {(logits - plain).abs().max():.3f} at most")


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    print("peft", peft.__version__, "torch", torch.__version__)
    torch.set_num_threads(1)
    for seed, case in enumerate(CASES):
        make(folder, *case, seed=2000 + seed)


if __name__ == "__main__":
    main()
