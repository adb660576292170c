"""Greedy decoding of 64 tokens after a 512-token prompt: ours against llama.cpp (q8_0), about 110M random parameters.

    python benchmarks/infer_decode.py [--quick]

Interleaved, medians of tokens per CPU-second on one thread, so that other work on the machine weighs little.
llama.cpp's completion of 64 tokens less its completion of one is its decoding: prompt and HTTP cancel out.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from functools import partial
from pathlib import Path

from infer_first_token import LlamaCpp, cpu_milliseconds, make_model

from repotune.infer.engine import Engine
from repotune.infer.opening import open_engine
from repotune.tokenizer.layout import SPECIAL_TOKENS

PROMPT, COUNT = 512, 64
BAR = 1.0


def decode(engine: Engine, token: int) -> None:
    """The tokens after the first, which comes from the prompt's logits."""
    for _ in range(COUNT - 1):
        token = int(engine.step(token).argmax())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds in place of nine")
    rounds = 3 if parser.parse_args().quick else 9
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        codec = make_model(Path(name))
        engine, peer = open_engine(Path(name), threads=1), LlamaCpp(Path(name) / "model-Q8_0.gguf")
        for turn in range(rounds):
            ids = random.Random(turn).choices(range(len(SPECIAL_TOKENS), codec.size), k=PROMPT)
            token = int(engine.prefill(ids).argmax())
            ours.append(cpu_milliseconds(partial(decode, engine, token)))
            peer.complete(ids, 1, cached=True)
            first = cpu_milliseconds(partial(peer.complete, ids, 1, cached=True))
            theirs.append(cpu_milliseconds(partial(peer.complete, ids, COUNT, cached=True)) - first)
            print(f"ours {ours[-1] / (COUNT - 1):6.2f} ms a token  llama.cpp {theirs[-1] / (COUNT - 1):6.2f}")
        weights = engine.precision
    figure, peer_figure = (1000 * (COUNT - 1) / statistics.median(times) for times in (ours, theirs))
    print(f"{weights} weights, one thread, {rounds} rounds")
    print(
        json.dumps(
            {
                "name": "decoding 64 tokens after a 512-token prompt",
                "figure": round(figure, 1),
                "unit": "tokens per CPU-second on one thread",
                "peer": "llama.cpp q8_0 (xllamacpp)",
                "peer_figure": round(peer_figure, 1),
                "ratio": round(figure / peer_figure, 2),
                "bar": BAR,
                "met": figure / peer_figure >= BAR,
            }
        )
    )


if __name__ == "__main__":
    main()
