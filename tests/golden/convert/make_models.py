"""Writes one small checkpoint per class and kind of rotary embedding, with what must come out of it.

Run:  python tests/golden/convert/make_models.py
Needs torch 2.13.0 (CPU), transformers 5.24.0, safetensors 0.8.0, gguf 0.19.0 and tokenizers 0.23.3
from PyPI. Random weights of a fixed seed in bfloat16, saved by save_pretrained. expected.json has for
every tensor of the GGUF file its shape and the start of the SHA-256 of its F32 bytes, made from the weights by the
name map of the gguf package, and the last logits of transformers (in double precision where it can).
"""

import hashlib
import json
import pathlib
import shutil

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM,
                          MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM,
                          Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM,
                          Qwen2MoeConfig, Qwen2MoeForCausalLM, Qwen3Config, Qwen3ForCausalLM,
                          Qwen3MoeConfig, Qwen3MoeForCausalLM)

HERE = pathlib.Path(__file__).parent
VOCAB, TOKENS, PROMPT, ROWS = 48, 44, 14, 2
BASE = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=12, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=128,
            bos_token_id=1, eos_token_id=2, pad_token_id=None, dtype="bfloat16")
ONE_LAYER = BASE | dict(num_hidden_layers=1)


def rope(kind="default", theta=10000.0, **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


def cases():
    yield "llama", LlamaForCausalLM, LlamaConfig(
        **BASE, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
        rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=32))
    yield "llama_yarn", LlamaForCausalLM, LlamaConfig(
        **BASE, head_dim=12, tie_word_embeddings=True,
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32,
                             beta_fast=2.0, beta_slow=0.25, mscale=1.2, mscale_all_dim=0.8))
    yield "mistral", MistralForCausalLM, MistralConfig(
        **BASE, head_dim=8, sliding_window=5, rope_parameters=rope("linear", factor=2.0))
    yield "mixtral", MixtralForCausalLM, MixtralConfig(
        **ONE_LAYER, head_dim=8, num_local_experts=3, num_experts_per_tok=2, rope_parameters=rope())
    yield "qwen2", Qwen2ForCausalLM, Qwen2Config(
        **BASE, tie_word_embeddings=True, rope_parameters=rope(theta=1000000.0))
    yield "qwen2moe", Qwen2MoeForCausalLM, Qwen2MoeConfig(
        **ONE_LAYER, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=8,
        shared_expert_intermediate_size=12, norm_topk_prob=False, rope_parameters=rope())
    yield "qwen3", Qwen3ForCausalLM, Qwen3Config(
        **BASE, head_dim=12, tie_word_embeddings=True, rope_parameters=rope(theta=1000000.0))
    yield "qwen3moe", Qwen3MoeForCausalLM, Qwen3MoeConfig(
        **ONE_LAYER, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=8, head_dim=8,
        norm_topk_prob=True, tie_word_embeddings=True, rope_parameters=rope())
    yield "gemma2", Gemma2ForCausalLM, Gemma2Config(
        **BASE, head_dim=8, query_pre_attn_scalar=6, sliding_window=5, attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0, rope_parameters=rope())
    yield "phi3", Phi3ForCausalLM, Phi3Config(
        **BASE, sliding_window=9, tie_word_embeddings=False, original_max_position_embeddings=128,
        rope_parameters=rope("longrope", original_max_position_embeddings=128,
                             partial_rotary_factor=0.5, short_factor=[1.0, 1.5],
                             long_factor=[1.0, 4.0]))


ARCHS = {"llama": gguf.MODEL_ARCH.LLAMA, "mistral": gguf.MODEL_ARCH.LLAMA,
         "mixtral": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2,
         "qwen2moe": gguf.MODEL_ARCH.QWEN2MOE, "qwen3": gguf.MODEL_ARCH.QWEN3,
         "qwen3moe": gguf.MODEL_ARCH.QWEN3MOE, "gemma2": gguf.MODEL_ARCH.GEMMA2,
         "phi3": gguf.MODEL_ARCH.PHI3}


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    gemma = "Gemma" in type(model).__name__
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            values = values * 0.2 + (0.0 if gemma else 1.0)
        elif name.endswith("bias"):
            values = values * 0.3
        else:
            values = values * 0.35
        parameter.data = values.to(torch.bfloat16)


def interleave(weights, n_heads):
    """Halves of a head to neighbours, as files of architecture llama have them."""
    half = weights.shape[0] // n_heads // 2
    return (weights.reshape(n_heads, 2, half, *weights.shape[1:]).swapaxes(1, 2)
            .reshape(weights.shape))


def gguf_tensors(name, model):
    """(name, values) of the file, from the parameters in memory."""
    config, arch = model.config, ARCHS[name.split("_")[0]]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for source, parameter in model.named_parameters():
        data = parameter.detach().float().numpy()
        if arch == gguf.MODEL_ARCH.GEMMA2 and source.endswith("norm.weight"):
            data = data + np.float32(1)
        if arch == gguf.MODEL_ARCH.LLAMA and ".q_proj." in source:
            data = interleave(data, config.num_attention_heads)
        if arch == gguf.MODEL_ARCH.LLAMA and ".k_proj." in source:
            data = interleave(data, config.num_key_value_heads)
        if source.endswith("shared_expert_gate.weight"):
            data = data[0]
        if source.endswith("experts.gate_up_proj"):  # [experts, gate then up, inputs] in memory
            stem, half = source.removesuffix("gate_up_proj"), data.shape[1] // 2
            yield names.get_name(stem + "gate_proj") + ".weight", data[:, :half]
            yield names.get_name(stem + "up_proj") + ".weight", data[:, half:]
            continue
        if source.endswith("experts.down_proj"):
            yield names.get_name(source) + ".weight", data
            continue
        yield names.get_name(source, try_suffixes=(".weight", ".bias")), data


def digest(data):
    data = np.ascontiguousarray(data, dtype=np.float32)
    return {"shape": list(data.shape[::-1]), "sha256": hashlib.sha256(data.tobytes()).hexdigest()[:16]}


def write_tokenizer(folder):
    """Byte-level, of letters only; the last ids of the model have no token."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = ["<unk>", "<s>", "</s>"] + [chr(ord("a") + i) for i in range(26)]
    texts += [chr(ord("A") + i) for i in range(TOKENS - len(texts))]
    tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(texts)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(texts[:3])
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True,
         "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}))


def main():
    write_tokenizer(HERE / "letters")
    for seed, (name, model_class, config) in enumerate(cases()):
        model = model_class(config).eval()
        randomize(model, 2000 + seed)
        folder = HERE / "models" / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder, max_shard_size="6KB" if name == "mistral" else "1GB")
        tensors = {key: digest(data) for key, data in gguf_tensors(name, model)}
        prompt = torch.randint(3, TOKENS, (1, PROMPT),
                               generator=torch.Generator().manual_seed(seed))
        precise = model.float() if "moe" in name or name == "mixtral" else model.double()
        with torch.no_grad():
            logits = precise(prompt, use_cache=False).logits[0, -ROWS:]
        expected = {"tensors": tensors, "prompt": prompt[0].tolist(),
                    "last_logits": [[round(value, 6) for value in row] for row in logits.tolist()]}
        (folder / "expected.json").write_text(json.dumps(expected, separators=(",", ":")))
        (folder / "generation_config.json").unlink(missing_ok=True)
        print(name, len(tensors), "tensors, logits", logits.min().item(), logits.max().item())


if __name__ == "__main__":
    main()
