"""From `cancel()` to an engine that computes no more, against what it takes for one token.

    python benchmarks/infer_cancel.py [--quick] [--threads 2]

A prompt of 512 tokens of the ladder's 125M shape is cancelled from another thread, at any point of it. Between two
attempts a token is computed, so both figures are of the same moments of the machine. There is no peer: those that can
be cancelled at all end after a batch of the prompt or a token, which is the bar.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import threading
import time

from peers.model import VOCABULARY, random_network

from repotune.infer.cpu.engine import cpu_engine
from repotune.infer.cpu.packing import pack_network
from repotune.infer.engine import Cancelled
from repotune.infer.paged.engine import PagedEngine
from repotune.model.configuration import ladder

PROMPT = 512


def prompt(draw: random.Random) -> list[int]:
    return draw.choices(range(VOCABULARY), k=PROMPT)


def seconds_to_idle(engine: PagedEngine, draw: random.Random, whole: float) -> float | None:
    """Seconds from a cancel within the `whole` seconds of a prompt to its end; None where the prompt was quicker."""
    asked: list[float] = []

    def cancel() -> None:
        asked.append(time.perf_counter())
        engine.cancel()

    timer = threading.Timer(draw.uniform(0.1, 0.9) * whole, cancel)
    timer.start()
    try:
        engine.prefill(prompt(draw))
        return None
    except Cancelled:
        return time.perf_counter() - asked[0]
    finally:
        timer.join()
        engine.end()


def seconds_a_token(engine: PagedEngine, draw: random.Random) -> float:
    engine.prefill(prompt(draw)[:100])
    begun = time.perf_counter()
    engine.step(1)
    passed = time.perf_counter() - begun
    engine.end()
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 cancels in place of 400")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    engine = cpu_engine(pack_network(random_network(ladder("125m", VOCABULARY, 2048)), 8), asked.threads)
    draw = random.Random(0)
    engine.prefill(prompt(draw))
    begun = time.perf_counter()
    engine.prefill(prompt(draw))
    whole = time.perf_counter() - begun
    idle, tokens = [], []
    for _ in range(40 if asked.quick else 400):
        tokens.append(1000 * seconds_a_token(engine, draw))
        passed = seconds_to_idle(engine, draw, whole)
        idle += [] if passed is None else [1000 * passed]
    figure, step = statistics.median(idle), statistics.median(tokens)
    print(f"{len(idle)} cancels: {figure:.2f} ms at p50, {max(idle):.2f} at most; a token takes {step:.2f} ms")
    print(
        json.dumps(
            {"name": "cancel to idle", "figure": round(figure, 2), "unit": "ms", "peer": "a token of the same engine",
             "peer_figure": round(step, 2), "ratio": round(figure / step, 2), "bar": 1.0, "met": figure <= step}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
