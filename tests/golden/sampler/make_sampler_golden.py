#!/usr/bin/env python3
"""Distributions after the sampler's stages, as Hugging Face transformers computes them.

Writes sampler.txt beside this file. Needs torch and transformers (made with torch 2.13.0 and the
transformers version in the first line of the file). The stages are transformers' own logits
processors, applied in the order of engine/sample/stages.cc.
"""
import pathlib

import torch
import transformers
from transformers.generation import logits_process as lp

N_VOCAB = 64
CASES = [  # temperature, top_k, top_p, min_p, typical_p, repetition_penalty
    (1.0, 0, 1.0, 0.0, 1.0, 1.0),
    (0.7, 0, 1.0, 0.0, 1.0, 1.0),
    (1.6, 0, 1.0, 0.0, 1.0, 1.3),
    (1.0, 10, 1.0, 0.0, 1.0, 1.0),
    (1.0, 0, 0.9, 0.0, 1.0, 1.0),
    (1.0, 0, 0.25, 0.0, 1.0, 1.0),
    (1.0, 0, 1.0, 0.1, 1.0, 1.0),
    (1.0, 0, 1.0, 0.0, 0.9, 1.0),
    (1.0, 0, 1.0, 0.0, 0.3, 1.0),
    (0.8, 40, 0.95, 0.05, 1.0, 1.1),
    (1.2, 30, 0.8, 0.02, 0.95, 0.8),
    (0.5, 5, 0.99, 0.0, 0.7, 1.5),
]


def main():
    torch.manual_seed(20)
    lines = [f"transformers {transformers.__version__}"]
    for temperature, top_k, top_p, min_p, typical_p, repetition in CASES:
        logits = torch.round(torch.randn(1, N_VOCAB) * 2.5 * 64) / 64  # exact in f32 and in text
        history = torch.randint(0, N_VOCAB, (1, 12))
        scores = logits.clone()
        stages = [lp.RepetitionPenaltyLogitsProcessor(repetition)]
        if top_k:
            stages.append(lp.TopKLogitsWarper(top_k))
        if typical_p < 1:
            stages.append(lp.TypicalLogitsWarper(typical_p))
        if top_p < 1:
            stages.append(lp.TopPLogitsWarper(top_p))
        if min_p > 0:
            stages.append(lp.MinPLogitsWarper(min_p))
        stages.append(lp.TemperatureLogitsWarper(temperature))
        for stage in stages:
            scores = stage(history, scores)
        probabilities = torch.softmax(scores.double(), -1)[0].tolist()
        lines.append(f"case {temperature} {top_k} {top_p} {min_p} {typical_p} {repetition}")
        lines.append("history " + " ".join(str(t) for t in history[0].tolist()))
        lines.append("logits " + " ".join(repr(x) for x in logits[0].tolist()))
        lines.append("probabilities " + " ".join(f"{p:.9g}" for p in probabilities))
    path = pathlib.Path(__file__).with_name("sampler.txt")
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
