#!/usr/bin/env python3
"""Makes the golden models of this folder: tiny random models with the logits that the transformers
package computes for them.

Usage: make_goldens.py [output folder [name ...]]     (needs torch==2.13.0 on the CPU, transformers,
gguf; names: only these)

Each file is a complete GGUF model written by the gguf package with the conventions of published
files (Llama query and key rows interleaved, Gemma norms plus one, Phi-3 fused matrices). It carries
its expectation with it: `golden.prompt` (int32 array), `golden.context_length` (the longest sequence
to load it for) and the tensor `golden.logits` [n_vocab, n_tokens].
"""
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from transformers import (Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM,
                          MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM,
                          Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM,
                          Qwen2MoeConfig, Qwen2MoeForCausalLM, Qwen3Config, Qwen3ForCausalLM,
                          Qwen3MoeConfig, Qwen3MoeForCausalLM)

VOCAB = 96
PROMPT_TOKENS = 40
STEP_TOLERANCE = 2e-5  # token by token against all at once, inside transformers
BASE = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
            bos_token_id=1, eos_token_id=2, pad_token_id=0, attn_implementation="eager")


def rope(kind="default", theta=10000.0, **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


def randomize(model, seed):
    """Weights of unit gain, so that logits are of order one and every part matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                fan_in = 1.0 if "embed" in name else parameter.shape[-1]
                parameter.copy_(noise * (1.3 / fan_in**0.5 if fan_in > 1 else 0.6))
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            else:  # norms; Gemma stores weight - 1
                center = 0.0 if "gemma" in type(model).__name__.lower() else 1.0
                parameter.copy_(center + 0.2 * noise)


def interleave(rows, n_heads):
    """Hugging Face pairs (i, i + half); GGUF files of architecture llama pair (2i, 2i + 1)."""
    shape = rows.shape
    return (rows.reshape(n_heads, 2, shape[0] // n_heads // 2, *shape[1:])
            .swapaxes(1, 2).reshape(shape))


class Golden:
    def __init__(self, name, arch, model_class, config, seed, precise=False):
        self.name, self.arch, self.config, self.precise = name, arch, config, precise
        self.model = model_class(config).eval().float()
        randomize(self.model, seed)
        self.generator = torch.Generator().manual_seed(seed + 1)

    def logits(self):
        prompt = torch.randint(3, VOCAB, (1, PROMPT_TOKENS), generator=self.generator)
        prompt[0, 0] = 1
        if self.precise:
            self.model.double()
        with torch.no_grad():
            all_at_once = self.model(prompt, use_cache=False).logits[0]
            if (self.config.rope_parameters or {}).get("rope_type") != "longrope":
                cache, rows = None, []
                for i in range(PROMPT_TOKENS):
                    step = self.model(prompt[:, i:i + 1], past_key_values=cache, use_cache=True)
                    cache = step.past_key_values
                    rows.append(step.logits[0, 0])
                difference = (torch.stack(rows) - all_at_once).abs().max()
                assert difference < STEP_TOLERANCE, (self.name, difference)
        self.model.float()  # exact, for the weights were made so
        return prompt[0].numpy().astype(np.int32), all_at_once.numpy().astype(np.float32)

    def tensors(self):
        config, arch = self.config, self.arch
        head_map = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
        layer_map = {
            "input_layernorm.weight": "attn_norm.weight",
            "self_attn.q_norm.weight": "attn_q_norm.weight",
            "self_attn.k_norm.weight": "attn_k_norm.weight",
            "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
            "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
            "self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up",
            "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
            "post_attention_layernorm.weight":
                "post_attention_norm.weight" if arch == "gemma2" else "ffn_norm.weight",
            "pre_feedforward_layernorm.weight": "ffn_norm.weight",
            "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
            "mlp.gate": "ffn_gate_inp", "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
            "mlp.shared_expert.up_proj": "ffn_up_shexp",
            "mlp.shared_expert.down_proj": "ffn_down_shexp",
            "mlp.experts.down_proj": "ffn_down_exps.weight",
        }
        for name, parameter in self.model.named_parameters():
            data = parameter.detach().numpy()
            if arch == "gemma2" and name.endswith("norm.weight"):
                data = data + 1
            if name == "lm_head.weight":
                yield "output.weight", data
                continue
            name = name.removeprefix("model.")
            if name in head_map:
                yield head_map[name], data
                continue
            _, layer, rest = name.split(".", 2)
            if arch == "llama" and "q_proj" in rest:
                data = interleave(data, config.num_attention_heads)
            if arch == "llama" and "k_proj" in rest:
                data = interleave(data, config.num_key_value_heads)
            if rest == "mlp.experts.gate_up_proj":  # [experts, gate then up, inputs]
                width = data.shape[1] // 2
                yield f"blk.{layer}.ffn_gate_exps.weight", data[:, :width]
                yield f"blk.{layer}.ffn_up_exps.weight", data[:, width:]
                continue
            if rest == "mlp.shared_expert_gate.weight":  # one row: a vector in GGUF files
                yield f"blk.{layer}.ffn_gate_inp_shexp.weight", data[0]
                continue
            if rest not in layer_map:
                stem, kind = rest.rsplit(".", 1)
                yield f"blk.{layer}.{layer_map[stem]}.{kind}", data
            else:
                yield f"blk.{layer}.{layer_map[rest]}", data

    def write_rope(self, writer):
        parameters = self.config.rope_parameters
        kind, rotary = parameters["rope_type"], self.model.model.rotary_emb
        writer.add_rope_freq_base(parameters["rope_theta"])
        n_rot = 2 * rotary.inv_freq.shape[0]
        writer.add_rope_dimension_count(n_rot)
        if kind in ("linear", "yarn"):
            writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
            writer.add_rope_scaling_factor(parameters["factor"])
        if kind in ("yarn", "longrope"):
            writer.add_rope_scaling_orig_ctx_len(parameters["original_max_position_embeddings"])
        if kind == "yarn":
            writer.add_rope_scaling_yarn_beta_fast(parameters["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(parameters["beta_slow"])
        if kind == "llama3":
            plain = 1.0 / parameters["rope_theta"]**(np.arange(0, n_rot, 2, dtype=np.float64) / n_rot)
            divisors = plain / rotary.inv_freq.numpy().astype(np.float64)
            writer.add_tensor("rope_freqs.weight", divisors.astype(np.float32))
        if kind == "longrope":
            writer.add_rope_scaling_attn_factors(float(rotary.attention_scaling))
            for length in ("long", "short"):
                factors = np.array(parameters[length + "_factor"], dtype=np.float32)
                writer.add_tensor(f"rope_factors_{length}.weight", factors)

    def write_hyper_parameters(self, writer):
        config = self.config
        writer.add_name(self.name)
        writer.add_file_type(0)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_vocab_size(VOCAB)
        head_dim = getattr(config, "head_dim", None)
        if head_dim and head_dim * config.num_attention_heads != config.hidden_size:
            writer.add_key_length(head_dim)
            writer.add_value_length(head_dim)
        if getattr(config, "sliding_window", None):
            writer.add_sliding_window(config.sliding_window)
        n_experts = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
        if n_experts:
            writer.add_expert_count(n_experts)
            writer.add_expert_used_count(config.num_experts_per_tok)
        if getattr(config, "moe_intermediate_size", None):
            writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        if getattr(config, "shared_expert_intermediate_size", None):
            writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
        if self.arch == "gemma2":
            writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
            writer.add_final_logit_softcapping(config.final_logit_softcapping)

    def write_tokenizer(self, writer):
        words = [chr(ord("a") + i % 26) * (1 + i // 26) for i in range(VOCAB - 4)]
        tokens = ["<unk>", "<s>", "</s>", "\u2581"] + words
        kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([-float(i) for i in range(VOCAB)])
        writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * (VOCAB - 3))
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)

    def write(self, folder):
        prompt, logits = self.logits()
        writer = gguf.GGUFWriter(folder / f"{self.name}.gguf", self.arch)
        self.write_hyper_parameters(writer)
        self.write_tokenizer(writer)
        context = self.config.max_position_embeddings
        if self.name.endswith("short"):
            context = self.config.rope_parameters["original_max_position_embeddings"]
        writer.add_uint32("golden.context_length", context)
        writer.add_array("golden.prompt", prompt.tolist())
        for name, data in self.tensors():
            writer.add_tensor(name, np.ascontiguousarray(data))
        self.write_rope(writer)
        writer.add_tensor("golden.logits", logits)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        print(f"{self.name}: logits {logits.min():.3f} .. {logits.max():.3f}, "
              f"std {logits.std():.3f}")


def cases():
    yield "llama_tied", "llama", LlamaForCausalLM, LlamaConfig(
        **BASE, tie_word_embeddings=True, rope_parameters=rope())
    yield "llama_untied_bias", "llama", LlamaForCausalLM, LlamaConfig(
        **BASE, head_dim=12, attention_bias=True, mlp_bias=True, rope_parameters=rope(theta=500000.0))
    yield "llama_linear", "llama", LlamaForCausalLM, LlamaConfig(
        **BASE, rope_parameters=rope("linear", factor=4.0), tie_word_embeddings=True)
    yield "llama_yarn", "llama", LlamaForCausalLM, LlamaConfig(
        **BASE, head_dim=16, tie_word_embeddings=True,
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=64,
                             beta_fast=2.0, beta_slow=0.25))
    yield "llama_llama3", "llama", LlamaForCausalLM, LlamaConfig(
        **BASE, head_dim=16, tie_word_embeddings=True,
        rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=64))
    yield "mistral", "llama", MistralForCausalLM, MistralConfig(
        **BASE, head_dim=8, sliding_window=9, rope_parameters=rope())
    yield "qwen2", "qwen2", Qwen2ForCausalLM, Qwen2Config(
        **BASE, tie_word_embeddings=True, rope_parameters=rope(theta=1000000.0))
    yield "qwen3", "qwen3", Qwen3ForCausalLM, Qwen3Config(
        **BASE, head_dim=16, rope_parameters=rope(theta=1000000.0))
    yield "gemma2", "gemma2", Gemma2ForCausalLM, Gemma2Config(
        **(BASE | dict(num_hidden_layers=3)), head_dim=12, query_pre_attn_scalar=12,
        sliding_window=9, attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
        rope_parameters=rope())
    yield "phi3", "phi3", Phi3ForCausalLM, Phi3Config(
        **BASE, sliding_window=11, tie_word_embeddings=False, rope_parameters=rope())
    wide = BASE | dict(hidden_size=48, num_attention_heads=4)
    factors = dict(short_factor=[1.0, 1.1, 1.3, 1.6, 2.0, 2.5],
                   long_factor=[1.0, 1.7, 3.0, 5.0, 9.0, 16.0])
    yield "phi3_longrope_short", "phi3", Phi3ForCausalLM, Phi3Config(
        **wide, original_max_position_embeddings=64, tie_word_embeddings=True,
        rope_parameters=rope("longrope", original_max_position_embeddings=64, **factors))
    partial = {key: value[:4] for key, value in factors.items()}
    yield "phi3_longrope_long", "phi3", Phi3ForCausalLM, Phi3Config(
        **BASE | dict(hidden_size=64), original_max_position_embeddings=16,
        tie_word_embeddings=True,
        rope_parameters=rope("longrope", original_max_position_embeddings=16,
                             partial_rotary_factor=0.5, **partial))
    yield "mixtral", "llama", MixtralForCausalLM, MixtralConfig(
        **BASE, num_local_experts=4, num_experts_per_tok=2, head_dim=8, rope_parameters=rope())
    yield "qwen2moe", "qwen2moe", Qwen2MoeForCausalLM, Qwen2MoeConfig(
        **BASE, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=20,
        shared_expert_intermediate_size=28, norm_topk_prob=False,
        rope_parameters=rope(theta=1000000.0))
    yield "qwen3moe", "qwen3moe", Qwen3MoeForCausalLM, Qwen3MoeConfig(
        **BASE, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=20, head_dim=16,
        norm_topk_prob=True, rope_parameters=rope(theta=1000000.0))


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    names = sys.argv[2:]
    print("torch", torch.__version__, "transformers", transformers.__version__)
    torch.set_num_threads(1)
    for seed, case in enumerate(cases()):
        if not names or case[0] in names:
            Golden(*case, seed=1000 + seed).write(folder)


if __name__ == "__main__":
    main()
