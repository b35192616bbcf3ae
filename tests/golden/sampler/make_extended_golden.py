#!/usr/bin/env python3
"""Distributions after the samplers that transformers does not have, from their definitions.

Writes extended.txt beside this file; needs numpy only. Each function restates its source (named
there) in the plainest way: sorted arrays, quadratic searches, double precision. None of it looks at
how engine/sample does it.
"""
import pathlib

import numpy as np

N_VOCAB = 48


def softmax(logits):
    weights = np.exp(logits - np.max(logits))
    return weights / weights.sum()


def top_n_sigma(logits, n):
    """Tang et al. 2024, algorithm 1: keep logits of at least max - n * standard deviation."""
    return np.where(logits >= logits.max() - n * logits.std(), logits, -np.inf)


def xtc(logits, threshold):
    """p-e-w, text-generation-webui pull request 6335: sorted by probability, a token goes when the
    next one reaches the threshold too. (What happens when the coin says so.)"""
    p = softmax(logits)
    order = sorted(range(len(p)), key=lambda i: (-p[i], i))
    out = logits.copy()
    for here, following in zip(order, order[1:]):
        if p[following] >= threshold:
            out[here] = -np.inf
    return out


def dry(logits, history, breakers, multiplier, base, allowed, window):
    """p-e-w, text-generation-webui pull request 5677: for every earlier place, how many tokens
    before it equal the last ones; breakers end a match and are not penalised themselves."""
    tokens = history if window < 0 else history[len(history) - min(window, len(history)):]
    longest = {}
    for place in range(1, len(tokens)):  # the token that followed a repetition
        n = 0
        while (n < place and tokens[place - 1 - n] == tokens[len(tokens) - 1 - n]
               and tokens[place - 1 - n] not in breakers):
            n += 1
        if n >= allowed and tokens[place] not in breakers:
            longest[tokens[place]] = max(longest.get(tokens[place], 0), n)
    out = logits.copy()
    if len(tokens) <= allowed:
        return out
    for token, n in longest.items():
        out[token] -= multiplier * base ** (n - allowed)
    return out


def dynamic_temperature(logits, temperature, span, exponent):
    """Kalomaze 2023, as documented by llama.cpp: the normalised entropy, to a power, picks a
    temperature of [temperature - span, temperature + span]."""
    p = softmax(logits)
    entropy = -(p * np.log(p)).sum() / np.log(len(p))
    low, high = max(0.0, temperature - span), temperature + span
    return logits / (low + (high - low) * entropy ** exponent)


def mirostat_1(logits, mu):
    """Basu et al. 2021, algorithm 1, with k rounded down as llama.cpp has it."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    p = softmax(logits)[order]
    m = min(100, len(p))
    t = np.log(np.arange(2, m + 1) / np.arange(1, m))
    b = np.log(p[:m - 1] / p[1:m])
    s = (t * b).sum() / (t * t).sum()
    epsilon = s - 1
    k = (epsilon * 2 ** mu / (1 - len(logits) ** -epsilon)) ** (1 / s)
    out = np.full_like(logits, -np.inf)
    kept = order[:max(1, min(int(k), len(logits)))]
    out[kept] = logits[kept]
    return out


def mirostat_2(logits, mu):
    """Basu et al., version 2: tokens whose surprise in bits is at most mu, or the best."""
    surprise = -np.log2(softmax(logits))
    out = np.where(surprise <= mu, logits, -np.inf)
    if np.isneginf(out).all():
        out[np.argmax(logits)] = logits[np.argmax(logits)]
    return out


def numbers(values):
    return " ".join(repr(float(v)) for v in values)


def main():
    random = np.random.default_rng(7)
    lines = []

    def case(name, parameters, history, breakers, logits, out):
        lines.append(f"case {name}")
        lines.append("parameters " + numbers(parameters))
        lines.append("history " + " ".join(map(str, history)))
        lines.append("breakers " + " ".join(map(str, breakers)))
        lines.append("logits " + numbers(logits))
        lines.append("probabilities " + " ".join(f"{p:.9g}" for p in softmax(out)))

    def draw(spread=2.0):
        return np.round(random.normal(0, spread, N_VOCAB) * 64) / 64  # exact in f32

    for n in (0.3, 1.0, 2.5):
        logits = draw()
        case("top_n_sigma", [n], [], [], logits, top_n_sigma(logits, n))
    for threshold in (0.02, 0.1, 0.3, 0.5):
        logits = draw()
        case("xtc", [threshold], [], [], logits, xtc(logits, threshold))
    for multiplier, base, allowed, window in (
            (0.8, 1.75, 2, -1), (0.8, 1.75, 2, 20), (0.5, 1.2, 1, -1), (1.5, 2.0, 3, 40),
            (0.3, 1.0, 0, -1), (0.8, 1.75, 2, 2)):
        for n_words in (2, 3, 6):
            logits = draw()
            history = random.integers(0, n_words, 60).tolist()
            breakers = [1] if n_words == 3 else []
            case("dry", [multiplier, base, allowed, window], history, breakers, logits,
                 dry(logits, history, breakers, multiplier, base, allowed, window))
    for temperature, span, exponent in ((1.0, 0.5, 1.0), (0.8, 0.8, 2.0), (0.5, 1.5, 0.5)):
        logits = draw()
        case("dynatemp", [temperature, span, exponent], [], [], logits,
             dynamic_temperature(logits, temperature, span, exponent))
    for version, f in ((1, mirostat_1), (2, mirostat_2)):
        for mu in (0.5, 2.0, 4.0, 8.0):
            logits = draw(1.5)
            case("mirostat", [version, mu], [], [], logits, f(logits, mu))
    path = pathlib.Path(__file__).with_name("extended.txt")
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
