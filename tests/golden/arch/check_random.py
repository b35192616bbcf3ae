#!/usr/bin/env python3
"""Compares random tiny models with the transformers package: what the fixed goldens of this folder
do for a dozen shapes, for any number of them. The reference runs in double precision, so that all
of the difference is ours. Not part of the test run, for it needs torch.

Usage: check_random.py MODELS_GRAPH_TEST [count [seed]]      (packages: see make_goldens.py)

MODELS_GRAPH_TEST is the built test program, which is run on the models made here. Prints the
hyper-parameters of each and the worst difference of a logit over all backends; exits with 1 if any
model is further off than the test allows (1e-4).
"""
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import make_goldens as goldens
import torch
from transformers import (Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM,
                          MixtralConfig, MixtralForCausalLM, Phi3Config, Phi3ForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM,
                          Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM)


def shape(draw):
    """Heads, groups, widths; the head size is free unless the family says otherwise."""
    n_kv = draw.choice([1, 1, 2, 2, 3, 4])
    n_heads = n_kv * draw.choice([1, 2, 3, 4, 7])
    return goldens.BASE | dict(
        num_attention_heads=n_heads, num_key_value_heads=n_kv,
        hidden_size=n_heads * 2 * draw.randint(1, max(1, 64 // n_heads)),
        intermediate_size=draw.choice([17, 32, 48, 100, 130, 256]),
        num_hidden_layers=draw.randint(1, 4),
        rms_norm_eps=draw.choice([1e-6, 1e-5, 1e-4]))


def head_size(draw):
    return 2 * draw.choice([2, 3, 4, 5, 8, 10, 16, 24, 32, 48, 64])


def any_rope(draw, kinds):
    kind = draw.choice(kinds)
    theta = draw.choice([100.0, 10000.0, 500000.0, 1e6])
    more = {}
    if kind in ("linear", "yarn", "llama3"):
        more["factor"] = draw.choice([1.5, 2.0, 4.0, 8.0, 40.0])
    if kind in ("yarn", "llama3"):
        more["original_max_position_embeddings"] = draw.choice([32, 64, 100])
    if kind == "yarn":
        more |= dict(beta_fast=draw.choice([2.0, 8.0, 32.0]), beta_slow=draw.choice([0.25, 1.0]))
    if kind == "llama3":
        more |= dict(low_freq_factor=draw.choice([1.0, 0.5]), high_freq_factor=draw.choice([4.0, 2.0]))
    return goldens.rope(kind, theta, **more)


def llama(draw):
    return "llama", LlamaForCausalLM, LlamaConfig(
        **shape(draw), head_dim=head_size(draw), attention_bias=draw.random() < 0.4,
        mlp_bias=draw.random() < 0.4, tie_word_embeddings=draw.random() < 0.5,
        rope_parameters=any_rope(draw, ["default", "linear", "yarn", "llama3"]))


def qwen2(draw):
    return "qwen2", Qwen2ForCausalLM, Qwen2Config(
        **shape(draw), tie_word_embeddings=draw.random() < 0.5,
        rope_parameters=any_rope(draw, ["default", "linear", "yarn"]))


def qwen3(draw):
    return "qwen3", Qwen3ForCausalLM, Qwen3Config(
        **shape(draw), head_dim=head_size(draw), tie_word_embeddings=draw.random() < 0.5,
        rope_parameters=any_rope(draw, ["default", "linear", "yarn"]))


def gemma2(draw):
    size = head_size(draw)
    return "gemma2", Gemma2ForCausalLM, Gemma2Config(
        **shape(draw), head_dim=size, query_pre_attn_scalar=size,
        sliding_window=draw.randint(2, 45), attn_logit_softcapping=draw.choice([1.0, 5.0, 50.0]),
        final_logit_softcapping=draw.choice([2.0, 30.0]), rope_parameters=any_rope(draw, ["default"]))


def phi3(draw):
    base = shape(draw)
    head = base["hidden_size"] // base["num_attention_heads"]
    window = draw.choice([None, draw.randint(2, 45)])
    tied = draw.random() < 0.5
    if draw.random() < 0.4:
        rope = any_rope(draw, ["default"])
        return "phi3", Phi3ForCausalLM, Phi3Config(
            **base, sliding_window=window, tie_word_embeddings=tied, rope_parameters=rope)
    # Shorter than the prompt: the long factors; longer: the short ones.
    original = draw.choice([16, 64])
    factors = {kind: [round(draw.uniform(1, 12), 2) for _ in range(head // 2)]
               for kind in ("short_factor", "long_factor")}
    return f"phi3_{'long' if original == 16 else 'short'}", Phi3ForCausalLM, Phi3Config(
        **base, sliding_window=window, tie_word_embeddings=tied,
        original_max_position_embeddings=original,
        rope_parameters=goldens.rope("longrope", draw.choice([1e4, 1e6]),
                                     original_max_position_embeddings=original, **factors))


def experts(draw):
    count = draw.choice([1, 2, 4, 7, 8, 16, 40])
    # Written out one by one: the grouped product of torch knows no double precision.
    return dict(num_experts_per_tok=draw.randint(1, min(count, 8)),
                experts_implementation="eager"), count


def mixtral(draw):
    used, count = experts(draw)
    return "llama_experts", MixtralForCausalLM, MixtralConfig(
        **shape(draw), **used, num_local_experts=count, head_dim=head_size(draw),
        sliding_window=draw.choice([None, draw.randint(2, 45)]),
        tie_word_embeddings=draw.random() < 0.5, rope_parameters=any_rope(draw, ["default"]))


def qwen2moe(draw):
    used, count = experts(draw)
    return "qwen2moe", Qwen2MoeForCausalLM, Qwen2MoeConfig(
        **shape(draw), **used, num_experts=count, norm_topk_prob=False,
        moe_intermediate_size=draw.choice([17, 32, 100]),
        shared_expert_intermediate_size=draw.choice([16, 33, 130]),
        tie_word_embeddings=draw.random() < 0.5,
        rope_parameters=any_rope(draw, ["default", "linear", "yarn"]))


def qwen3moe(draw):
    used, count = experts(draw)
    return "qwen3moe", Qwen3MoeForCausalLM, Qwen3MoeConfig(
        **shape(draw), **used, num_experts=count, norm_topk_prob=True, head_dim=head_size(draw),
        moe_intermediate_size=draw.choice([17, 32, 100]),
        tie_word_embeddings=draw.random() < 0.5,
        rope_parameters=any_rope(draw, ["default", "linear", "yarn"]))


def describe(config):
    fields = ["num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads",
              "head_dim", "intermediate_size", "sliding_window", "attention_bias", "mlp_bias",
              "tie_word_embeddings", "rms_norm_eps", "num_local_experts", "num_experts",
              "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size"]
    parts = [f"{name}={getattr(config, name)}" for name in fields if hasattr(config, name)]
    rope = {key: value for key, value in config.rope_parameters.items() if "_factor" not in key[-7:]
            or not isinstance(value, list)}
    return " ".join(parts) + f" rope={rope}"


def run_test(program, folder, report):
    """Worst difference by model, from the properties that the test records."""
    environment = os.environ | {"QUERN_ARCH_GOLDENS": str(folder)}
    command = [program, "--gtest_filter=*GoldenTest.*", f"--gtest_output=xml:{report}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    worst = {}
    for case in re.split(r"<testcase ", report.read_text())[1:]:
        name = re.search(r'name="LogitsEqualTheReference/(\w+)"', case)
        if name:
            values = re.findall(r'<property name="[^"]*" value="([^"]*)"', case)
            worst[name.group(1)] = max((float(value) for value in values), default=float("nan"))
    return done, worst


def main():
    program = Path(sys.argv[1]).resolve()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 25
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    torch.set_num_threads(1)
    families = [llama, qwen2, qwen3, gemma2, phi3, mixtral, qwen2moe, qwen3moe]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "models"
        folder.mkdir()
        configs = {}
        for i in range(count):
            draw = random.Random(f"{seed}/{i}")
            label, model_class, config = families[i % len(families)](draw)
            name = f"random_{i:03}_{label}"
            configs[name] = config
            golden = goldens.Golden(name, label.split("_")[0], model_class, config, seed * 1000 + i,
                                    precise=True)
            with torch.no_grad():  # logits of order one at any width, also where weights are tied
                golden.model.model.embed_tokens.weight.mul_((8.0 / config.hidden_size)**0.5)
            golden.write(folder)
        done, worst = run_test(program, folder, Path(scratch) / "report.xml")
    for name, config in configs.items():
        print(f"{name}: worst {worst.get(name, float('nan')):.2e}  {describe(config)}")
    print(f"{len(worst)} of {count} models compared, worst difference {max(worst.values(), default=0):.2e}")
    if done.returncode != 0 or len(worst) != count:
        print(done.stdout[-4000:], done.stderr[-2000:])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
