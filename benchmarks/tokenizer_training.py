"""CPU-seconds and peak memory to train 32,768 entries on Python's standard library, against Hugging Face tokenizers.

    python benchmarks/tokenizer_training.py [--quick]

Both read the same files, split by the same pattern and train in a process of their own, in turn. One file in twenty is
held out, and bytes per token on it stands beside the cost: a fast trainer of a worse vocabulary would be no gain.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

SIZE = 32_768
BAR = 2.0


def library(quick: bool, held_out: bool) -> Iterator[str]:
    """The standard library's files, tests included; a quarter of them when quick."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    for number, path in enumerate(files[:: 4 if quick else 1]):
        if (number % 20 == 0) == held_out:
            yield path.read_bytes().decode(errors="replace")


def train_ours(quick: bool) -> tuple[float, float]:
    from repotune.tokenizer.encoding import Codec
    from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of
    from repotune.tokenizer.vocabulary import train_bpe

    started = time.process_time()
    vocabulary = vocabulary_of(train_bpe(library(quick, held_out=False), SIZE - len(SPECIAL_TOKENS)))
    spent, codec = time.process_time() - started, Codec(vocabulary)
    texts = list(library(quick, held_out=True))
    return spent, sum(len(text.encode()) for text in texts) / sum(len(codec.encode(text)) for text in texts)


def train_peer(quick: bool) -> tuple[float, float]:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    from repotune.tokenizer.layout import SPECIAL_TOKENS, SPLIT_PATTERN

    started = time.process_time()
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        show_progress=False,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(library(quick, held_out=False), trainer)
    spent = time.process_time() - started
    texts = list(library(quick, held_out=True))
    return spent, sum(len(text.encode()) for text in texts) / sum(len(tokenizer.encode(text)) for text in texts)


def measure(side: str, quick: bool) -> dict[str, float]:
    """One training in a fresh process on one thread: CPU-seconds, peak MB and bytes per held-out token."""
    command = [sys.executable, __file__, "--side", side, *(["--quick"] if quick else [])]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(result.stdout)
    print(f"{side:5} {figures['seconds']:6.2f} CPU-s  {figures['peak']:5.0f} MB  {figures['ratio']:.3f} bytes/token")
    return figures


def run_side(side: str, quick: bool) -> None:
    seconds, ratio = {"ours": train_ours, "peer": train_peer}[side](quick)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    print(json.dumps({"seconds": seconds, "peak": peak, "ratio": ratio}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the files, one round")
    parser.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, options.quick)
        return
    rounds = [[measure(side, options.quick) for side in ("ours", "peer")] for _ in range(1 if options.quick else 3)]
    ours, peer = (statistics.median(pair[index]["seconds"] for pair in rounds) for index in (0, 1))
    print(
        json.dumps(
            {
                "name": "tokenizer_training",
                "figure": round(ours, 2),
                "unit": "CPU-seconds",
                "peer": "Hugging Face tokenizers",
                "peer_figure": round(peer, 2),
                "ratio": round(peer / ours, 2),
                "bar": BAR,
                "met": peer / ours >= BAR,
            }
        )
    )


if __name__ == "__main__":
    main()
