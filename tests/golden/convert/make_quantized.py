"""Writes checkpoints whose matrices are quantized, with the start of the SHA-256 of what they decode to.

Run:  python tests/golden/convert/make_quantized.py AUTOGPTQ AUTOAWQ
Needs torch 2.13.0 (CPU), transformers 5.24.0, safetensors 0.8.0 and bitsandbytes 0.50.2 from PyPI,
and two files that are loaded by themselves, without installing their packages: AUTOGPTQ is
auto_gptq/nn_modules/qlinear/qlinear_cuda.py of auto-gptq 0.7.1, AUTOAWQ is
awq/utils/packing_utils.py of autoawq 0.2.9.

Who packs and who decodes, in float32:
  gptq4    AutoGPTQ's QuantLinear.pack, its forward of the identity; groups in random order
  gptq8_v2 the same at 8 bits, after which 1 is added to every zero point, as gptq_v2 has them
  awq      random words, AutoAWQ's dequantize_gemm
  nf4      bitsandbytes quantize_4bit and dequantize_4bit; see FourBit
  int8     bitsandbytes int8_vectorwise_quant and int8_vectorwise_dequant
  fp8*     torch's float8_e4m3fn times the scale, repeated over blocks by numpy
"""

import hashlib
import importlib.util
import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from bitsandbytes import functional as bnb
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
VOCAB, HEADS = 48, 2
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}


def matrices(hidden, ffn):
    square = (hidden, hidden)
    return {"self_attn.q_proj": square, "self_attn.k_proj": square, "self_attn.v_proj": square,
            "self_attn.o_proj": square, "mlp.gate_proj": (ffn, hidden),
            "mlp.up_proj": (ffn, hidden), "mlp.down_proj": (hidden, ffn)}


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Gptq:
    group = 16

    def __init__(self, module, bits, version2):
        self.module, self.bits, self.version2 = module, bits, version2
        self.config = {"quant_method": "gptq", "bits": bits, "group_size": self.group, "sym": False,
                       "desc_act": not version2,
                       "checkpoint_format": "gptq_v2" if version2 else "gptq"}

    def encode(self, weight, generator, matrix):
        n_out, n_in = weight.shape
        groups = torch.arange(n_in) // self.group
        if not self.version2:
            groups = groups[torch.randperm(n_in, generator=generator)]
        levels = 2**self.bits - 1
        scales, zeros = torch.empty(n_out, n_in // self.group), torch.empty(n_out, n_in // self.group)
        for group in range(n_in // self.group):
            part = weight[:, groups == group]
            low = part.amin(1)
            scales[:, group] = ((part.amax(1) - low) / levels).half().float()
            zeros[:, group] = torch.round(-low / scales[:, group]).clamp(1, levels - 1)
        linear = torch.nn.Linear(n_in, n_out, bias=False)
        low, high = -zeros * scales, (levels - zeros) * scales
        linear.weight.data = torch.minimum(torch.maximum(weight, low[:, groups]), high[:, groups])
        packed = self.module.QuantLinear(self.bits, self.group, n_in, n_out, False)
        packed.pack(linear, scales, zeros, groups.int())
        packed.scales = packed.scales.float()
        decoded = packed(torch.eye(n_in)).T
        stored = {"qweight": packed.qweight, "qzeros": packed.qzeros,
                  "scales": packed.scales.half(), "g_idx": packed.g_idx.int()}
        if self.version2:
            ones = sum(1 << shift for shift in range(0, 32, self.bits))
            stored["qzeros"] = (packed.qzeros.long() + ones).to(torch.int32)
            del stored["g_idx"]
        return {"." + key: value.contiguous() for key, value in stored.items()}, decoded


class Awq:
    group = 8
    config = {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm",
              "zero_point": True}

    def __init__(self, module):
        self.module = module

    def encode(self, weight, generator, matrix):
        n_out, n_in = weight.shape

        def words(*shape):
            return torch.randint(-2**31, 2**31, shape, generator=generator).to(torch.int32)
        qweight, qzeros = words(n_in, n_out // 8), words(n_in // self.group, n_out // 8)
        scales = (torch.rand(n_in // self.group, n_out, generator=generator) * 0.05).half()
        decoded = self.module.dequantize_gemm(qweight, qzeros, scales.float(), 4, self.group).T
        return {".qweight": qweight, ".qzeros": qzeros, ".scales": scales}, decoded


class FourBit:
    """NF4, with quantized scales in the attention; the output of that as FP4."""

    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
              "bnb_4bit_use_double_quant": True}

    def encode(self, weight, generator, matrix):
        kind = "fp4" if "o_proj" in matrix else "nf4"
        packed, state = bnb.quantize_4bit(weight, blocksize=64, quant_type=kind,
                                          compress_statistics=kind == "nf4" and "attn" in matrix)
        # In rows of one block: the CPU kernel mixes up the scales of shorter rows, unlike that of
        # GPUs and of its own quantize_4bit, which see the values as one list.
        shape, state.shape = state.shape, torch.Size((weight.numel() // 64, 64))
        decoded = bnb.dequantize_4bit(packed, state).reshape(shape)
        state.shape = shape
        parts = {".weight." + key: value for key, value in state.as_dict(packed=True).items()}
        return {".weight": packed, **parts}, decoded


class Int8:
    config = {"quant_method": "bitsandbytes", "load_in_8bit": True}

    def encode(self, weight, generator, matrix):
        packed, scales, _ = bnb.int8_vectorwise_quant(weight.half())
        decoded = bnb.int8_vectorwise_dequant(packed, scales)
        return {".weight": packed, ".SCB": scales.float(),
                ".weight_format": torch.tensor(0, dtype=torch.uint8)}, decoded


class Fp8:
    def __init__(self, block):
        self.block = block
        self.config = {"quant_method": "fp8", "activation_scheme": "dynamic"}
        if block:
            self.config["weight_block_size"] = list(block)

    def encode(self, weight, generator, matrix):
        rows, cols = self.block or weight.shape
        n = (-(-weight.shape[0] // rows), -(-weight.shape[1] // cols))
        scale = torch.empty(n)
        for i in range(n[0]):
            for j in range(n[1]):
                part = weight[i * rows:(i + 1) * rows, j * cols:(j + 1) * cols]
                scale[i, j] = part.abs().max() / 448
        wide = np.repeat(np.repeat(scale.numpy(), rows, 0), cols, 1)
        wide = torch.from_numpy(wide[:weight.shape[0], :weight.shape[1]].copy())
        packed = (weight / wide).to(torch.float8_e4m3fn)
        decoded = packed.float() * wide
        if self.block:
            return {".weight": packed, ".weight_scale_inv": scale}, decoded
        return {".weight": packed, ".weight_scale": scale.reshape(()),
                ".input_scale": torch.tensor(1.0)}, decoded


def interleave(weights, n_heads):
    half = weights.shape[0] // n_heads // 2
    return weights.reshape(n_heads, 2, half, -1).swapaxes(1, 2).reshape(weights.shape)


def write(name, method, hidden, ffn, seed):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)
    tensors = {"model.embed_tokens.weight": random(VOCAB, hidden).half(),
               "model.norm.weight": random(hidden).half()}
    expected = {}
    prefix = "model.layers.0."
    for norm in ("input_layernorm", "post_attention_layernorm"):
        tensors[prefix + norm + ".weight"] = random(hidden).half()
    for matrix, shape in matrices(hidden, ffn).items():
        parts, decoded = method.encode(random(*shape), generator, matrix)
        assert decoded.dtype == torch.float32 and tuple(decoded.shape) == shape, name
        tensors |= {prefix + matrix + key: value for key, value in parts.items()}
        data = decoded.detach().numpy()
        if matrix.endswith(("q_proj", "k_proj")):
            data = interleave(data, HEADS)
        data = np.ascontiguousarray(data, dtype=np.float32)
        expected[f"blk.0.{NAMES[matrix]}.weight"] = {
            "shape": list(data.shape[::-1]), "sha256": hashlib.sha256(data.tobytes()).hexdigest()[:16]}
    folder = HERE / "quantized" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB,
              "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": 1,
              "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "rms_norm_eps": 1e-5,
              "max_position_embeddings": 64, "hidden_act": "silu", "tie_word_embeddings": True,
              "torch_dtype": "float16", "quantization_config": method.config}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "expected.json").write_text(json.dumps({"tensors": expected}, separators=(",", ":")))
    print(name, (folder / "model.safetensors").stat().st_size, "bytes")


def main():
    gptq, awq = load(sys.argv[1], "qlinear_cuda"), load(sys.argv[2], "packing_utils")
    # AutoGPTQ packs multiples of 32 only.
    rows = [("gptq4", Gptq(gptq, 4, False), 32, 64), ("gptq8_v2", Gptq(gptq, 8, True), 32, 32),
            ("awq", Awq(awq), 16, 24), ("nf4", FourBit(), 16, 24), ("int8", Int8(), 16, 24),
            ("fp8", Fp8(None), 16, 24), ("fp8_blocks", Fp8((12, 10)), 16, 24)]
    for seed, (name, method, hidden, ffn) in enumerate(rows):
        write(name, method, hidden, ffn, 3000 + seed)


if __name__ == "__main__":
    main()
