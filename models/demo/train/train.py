"""Trains the demo model on what prepare.py made. Safe to kill and to stop at any time: it goes on from
the last checkpoint, with the batches that it would have seen.

  python3 train.py DATA --steps 4000          begins, or goes on
  python3 train.py DATA --steps 3000          goes on, to end earlier: the learning rate falls over
                                              the last quarter of the steps, and is even before
"""
import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model import Model, Shape

CONTEXT = 1 << 15
WARM_UP = 150
FALLING = 0.25       # share of the steps at the end over which the rate falls to zero
CHECK_EVERY = 250
SAVE_EVERY = 50


def windows(tokens, step, batch, length):
    """The batch of a step: windows at random places, the same for the same step."""
    draw = np.random.default_rng(step)
    starts = draw.integers(0, len(tokens) - length - 1, batch)
    rows = np.stack([tokens[s:s + length + 1] for s in starts])
    return torch.from_numpy(rows.astype(np.int64))


def loss_of_rows(model, rows):
    """Mean loss of windows [batch, length + 1] of tokens with their marks."""
    inputs = rows[:, :-1] & (CONTEXT - 1)
    targets = torch.where(rows[:, 1:] >= CONTEXT, -100, rows[:, 1:])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(inputs)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100)


@torch.no_grad()
def held_out_loss(model, tokens, length, most=32):
    n = min(most, len(tokens) // (length + 1))
    rows = torch.from_numpy(tokens[:n * (length + 1)].astype(np.int64)).view(n, length + 1)
    parts = [loss_of_rows(model, part).item() for part in rows.split(8)]
    return sum(parts) / len(parts)


def rate(step, steps, peak):
    falling = FALLING * steps
    return peak * min(1.0, (step + 1) / WARM_UP, max(0.0, (steps - step) / falling))


def save(path, state):
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    args = parser.parse_args()
    shape = Shape()
    train = np.fromfile(args.data / "train.bin", dtype="<u2")
    held = {n: np.fromfile(args.data / f"{n}.bin", dtype="<u2") for n in ("tales", "books")}

    torch.manual_seed(1)
    model = Model(shape)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=args.rate, betas=(0.9, 0.95), fused=True)
    checkpoint, step = args.data / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    else:
        print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    compiled_loss = torch.compile(loss_of_rows)  # three times as fast as without
    log = open(args.data / "log.jsonl", "a", buffering=1)
    began, mean, seen = time.time(), 0.0, 0
    while step < args.steps:
        for group in optimizer.param_groups:
            group["lr"] = rate(step, args.steps, args.rate)
        loss = compiled_loss(model, windows(train, step, args.batch, shape.context))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, mean, seen = step + 1, mean + loss.item(), seen + 1
        if step % SAVE_EVERY == 0 or step == args.steps:
            entry = {"step": step, "train": round(mean / seen, 4),
                     "seconds_per_step": round((time.time() - began) / seen, 3)}
            if step % CHECK_EVERY == 0 or step == args.steps:
                for name, tokens in held.items():
                    entry[name] = round(held_out_loss(model, tokens, shape.context), 4)
            log.write(json.dumps(entry) + "\n")
            save(checkpoint, {"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                              "step": step})
            began, mean, seen = time.time(), 0.0, 0


if __name__ == "__main__":
    main()
