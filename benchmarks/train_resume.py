"""Opening the training stream where step 10⁶ stands, against a cold start; and what the stream itself costs.

    python benchmarks/train_resume.py [--quick]

Two million documents of 10⁹ tokens (--quick: 200,000 of 10⁸) are written as a store, weighted and not. At 100,000
tokens a step, step 10⁶ is then in the 100th epoch. A start is: open the store, open Batches, make the first batch. The
peer is the same at step 0. The position of step 10⁶ is made of the epoch and the turn that it falls on; that a stream
which went there step by step has the same position is what tests/train/test_train_ranks.py shows.

The stream's speed is measured on the standard library with half of the pieces infilled, at three shares of syntax
holes, in process time on one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of
from repotune.tokenizer.packing import TokenStore, write_index
from repotune.tokenizer.shards import SplitWriter
from repotune.tokenizer.vocabulary import train_bpe
from repotune.train.batches import Batches, Position
from repotune.train.infilling import Rendering

sys.path.insert(0, str(Path(__file__).parent))
from libraries import this_library

SEQUENCE, ROWS, STEP_TOKENS, STEP = 512, 8, 100_000, 1_000_000
BAR = 1.2
TRAINING_SPEED, STREAM_SHARE = 20_000, 0.03  # tokens a second of a step, and what of its time the stream may take
DTYPE = np.dtype("<u2")


def write_documents(folder: Path, count: int, codec: Codec, weight: float) -> None:
    """`count` documents of some 500 tokens on average, as code is distributed: many small and a few large."""
    rng = np.random.default_rng(1)
    ids = np.array(codec.encode("value = other_value + 1\n" * 4000), DTYPE)
    with SplitWriter(folder, "train", DTYPE) as writer:
        for first in range(0, count, 10_000):
            numbers = range(first, min(first + 10_000, count))
            sizes = np.minimum(rng.lognormal(5.5, 1.2, len(numbers)), len(ids)).astype(int).tolist()
            names = [f"folder/module_{number}.py" for number in numbers]
            writer.add([ids[:size] for size in sizes], [weight] * len(sizes), names, ["Python"] * len(sizes))
    write_index(folder, DTYPE, tokenizer="", splits={"train": writer.entry()}, mixture={})


def seconds_to_start(folder: Path, codec: Codec, position: Position | None) -> float:
    started = time.process_time()
    batches = Batches(TokenStore(folder, "train"), Rendering(codec, SEQUENCE, 0.5, seed=1), ROWS, position)
    batches.next()
    return time.process_time() - started


def position_of_step(folder: Path, step: int) -> Position:
    """About where `step` stands: as many epochs, and as large a part of the last one."""
    store = TokenStore(folder, "train")
    epoch, rest = divmod(step * STEP_TOKENS, int(store.epoch_tokens))
    return Position(epoch, int(rest / store.epoch_tokens * len(store)), 7)


def measure_start(count: int, rounds: int, codec: Codec, weight: float) -> tuple[float, float]:
    """Median CPU seconds of a start at step 10⁶ and at step 0, on a store of `count` documents of one weight."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_documents(folder, count, codec, weight)
        position = position_of_step(folder, STEP)
        pairs = [
            (seconds_to_start(folder, codec, position), seconds_to_start(folder, codec, None)) for _ in range(rounds)
        ]
        resumed, cold = (statistics.median(values) for values in zip(*pairs, strict=True))
        index = (folder / "index.json").stat().st_size
    print(
        f"{count:,} documents of weight {weight}, index.json {index:,} bytes: "
        f"in epoch {position.epoch} {1e3 * resumed:.1f} ms, cold {1e3 * cold:.1f} ms",
        file=sys.stderr,
    )
    return resumed, cold


def stream_speed(codec: Codec, texts: list[str], share: float, steps: int) -> float:
    """Tokens a CPU-second of `next()`, half of the pieces infilled."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with SplitWriter(folder, "train", DTYPE) as writer:
            writer.add(
                codec.encode_many(texts, 1), [1.0] * len(texts), ["lib/module.py"] * len(texts), ["Python"] * len(texts)
            )
        write_index(folder, DTYPE, tokenizer="", splits={"train": writer.entry()}, mixture={})
        batches = Batches(TokenStore(folder, "train"), Rendering(codec, SEQUENCE, 0.5, 1, share), ROWS)
        batches.next()
        started = time.process_time()
        for _ in range(steps):
            batches.next()
        return steps * ROWS * SEQUENCE / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the documents, fewer rounds")
    quick = parser.parse_args().quick
    texts = [file.text for file in this_library()]
    codec = Codec(vocabulary_of(train_bpe(iter(texts[::4]), 8192 - len(SPECIAL_TOKENS))))
    for share in (0.0, 0.5, 1.0):
        speed = stream_speed(codec, texts, share, 30 if quick else 150)
        cost = TRAINING_SPEED / speed
        print(
            f"stream, syntax share {share}: {speed:,.0f} tokens a CPU-second, {100 * cost:.1f} % of a step at "
            f"{TRAINING_SPEED:,} tokens a second (bar {100 * STREAM_SHARE:.0f} %)",
            file=sys.stderr,
        )
    count, rounds = (200_000, 7) if quick else (2_000_000, 15)
    measured = [measure_start(count, rounds, codec, weight) for weight in (1.0, 1.5)]
    resumed, cold = max(measured, key=lambda pair: pair[0] / pair[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"memory of the whole: {peak / (1e6 if sys.platform == 'darwin' else 1e3):,.0f} MB", file=sys.stderr)
    result = {"name": "train_resume", "figure": round(1e3 * resumed, 2), "unit": "CPU-ms to the first batch"}
    result |= {"peer": "a cold start", "peer_figure": round(1e3 * cold, 2), "ratio": round(resumed / cold, 3)}
    print(json.dumps(result | {"bar": BAR, "met": resumed / cold <= BAR}))


if __name__ == "__main__":
    main()
