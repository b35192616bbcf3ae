"""Trains the demo model on what prepare.py made, in stages. Safe to kill and to stop at any time: the
same command goes on from the last checkpoint, with the batches that it would have seen.

  python3 train.py DATA --steps 4000          begins, or goes on; the learning rate falls
                                              over the last quarter of the steps
  python3 train.py DATA --steps 4400 --falling 0 --scenes 0.5 --length 128 --batch 16 --set-apart
                                              a stage of 400 more: half of the rows are scenes, all
                                              are short, and names get directions of their own first
"""
import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import tale_words as words
from model import Model, Shape

CONTEXT = 1 << 15
WARM_UP = 150
APART = 0.06         # deviation of what --set-apart adds to each value of a name's embedding
CHECK_EVERY = 250
SAVE_EVERY = 50


def windows(tokens, step, batch, length):
    """The rows of a step: windows at random places, the same for the same step."""
    draw = np.random.default_rng(step)
    starts = draw.integers(0, len(tokens) - length - 1, batch)
    rows = tokens[starts[:, None] + np.arange(length + 1)]
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


def rate(step, began, args):
    """`began`: the step at which this stage began, from where the rate rises again."""
    left = (args.steps - step) / args.falling if args.falling else 1.0
    return args.rate * min(1.0, (step - began + 1) / (WARM_UP if began == 0 else WARM_UP / 3), left)


@torch.no_grad()
def set_names_apart(model, data):
    """Gives the embedding of each name a random direction beside what names have in common.

    A network that has not yet learned to look back for a name gains nothing by telling names apart, so
    their embeddings grow alike, and looking back then finds nothing to copy."""
    found = json.loads((data / "tokenizer.json").read_text())["model"]["vocab"]
    names = set(words.GIRLS + words.BOYS)
    ids = [token for text, token in found.items() if text.lstrip("\u0120") in names]
    table = model.token_embd.weight
    table[ids] = table[ids].mean(0) + APART * torch.randn(len(ids), table.shape[1])


def save(path, state):
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=Shape().context)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--falling", type=int, help="steps at the end over which the rate falls to 0")
    parser.add_argument("--scenes", type=float, default=0.0, help="share of the rows from scenes.bin")
    parser.add_argument("--set-apart", action="store_true", help="see set_names_apart")
    args = parser.parse_args()
    if args.falling is None:
        args.falling = args.steps // 4
    return args


def optimizer_of(model):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=0.0, betas=(0.9, 0.95), fused=True)


def train(model, optimizer, args, step, began):
    """Runs the stage that began at step `began` from `step` to its end."""
    tokens = {n: np.fromfile(args.data / f"{n}.bin", dtype="<u2")
              for n in ("train", "scenes", "tales", "books")}
    n_scenes = int(args.batch * args.scenes)
    compiled_loss = torch.compile(loss_of_rows)  # three times as fast as without
    log = open(args.data / "log.jsonl", "a", buffering=1)
    since, mean, seen = time.time(), 0.0, 0
    while step < args.steps:
        for group in optimizer.param_groups:
            group["lr"] = rate(step, began, args)
        rows = torch.cat((windows(tokens["scenes"], step, n_scenes, args.length),
                          windows(tokens["train"], step, args.batch - n_scenes, args.length)))
        loss = compiled_loss(model, rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, mean, seen = step + 1, mean + loss.item(), seen + 1
        if step % SAVE_EVERY == 0 or step == args.steps:
            entry = {"step": step, "train": round(mean / seen, 4),
                     "seconds_per_step": round((time.time() - since) / seen, 3)}
            if step % CHECK_EVERY == 0 or step == args.steps:
                for name in ("tales", "books"):
                    entry[name] = round(held_out_loss(model, tokens[name], Shape().context), 4)
            log.write(json.dumps(entry) + "\n")
            save(args.data / "checkpoint.pt",
                 {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
                  "began": began, "ends": args.steps})
            since, mean, seen = time.time(), 0.0, 0


def main():
    args = arguments()
    torch.manual_seed(1)
    model = Model(Shape())
    optimizer = optimizer_of(model)
    step, began = 0, 0
    if (args.data / "checkpoint.pt").exists():
        state = torch.load(args.data / "checkpoint.pt", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
        began = state["began"] if state.get("ends") == args.steps else step
    else:
        print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    if args.set_apart and step == began:
        set_names_apart(model, args.data)
    train(model, optimizer, args, step, began)


if __name__ == "__main__":
    main()
