"""CPU-seconds and peak memory to train 32,768 entries on Python's standard library, against Hugging Face tokenizers.

    python benchmarks/tokenizer_training.py [--quick]

Both read the same files, split by the same pattern and train in a process of their own, in turn; peak memory counts
everything, the interpreter and imports too. One file in twenty is held out, and bytes per token on it must be the same
within 0.1 %: a fast trainer of a worse vocabulary would be no gain.
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
BAR, MEMORY_BAR = 0.42, 0.6


def library(quick: bool, held_out: bool) -> Iterator[str]:
    """The standard library's files, tests included; a quarter of them when quick."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    for number, path in enumerate(files[:: 4 if quick else 1]):
        if (number % 20 == 0) == held_out:
            yield path.read_bytes().decode(errors="replace")


def train_ours(quick: bool) -> tuple[float, float, float]:
    from repotune.tokenizer.bpe import train_bpe
    from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of

    started = time.process_time()
    vocabulary = vocabulary_of(train_bpe(library(quick, held_out=False), SIZE - len(SPECIAL_TOKENS)))
    spent, peak = time.process_time() - started, peak_memory()

    from repotune.tokenizer.encoding import Codec

    codec, texts = Codec(vocabulary), list(library(quick, held_out=True))
    return spent, peak, sum(len(text.encode()) for text in texts) / sum(len(codec.encode(text)) for text in texts)


def train_peer(quick: bool) -> tuple[float, float, float]:
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
    spent, peak = time.process_time() - started, peak_memory()
    texts = list(library(quick, held_out=True))
    return spent, peak, sum(len(text.encode()) for text in texts) / sum(len(tokenizer.encode(text)) for text in texts)


def measure(side: str, quick: bool) -> dict[str, float]:
    """One training in a fresh process on one thread: CPU-seconds, peak MB and bytes per held-out token."""
    command = [sys.executable, __file__, "--side", side, *(["--quick"] if quick else [])]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(result.stdout)
    print(f"{side:5} {figures['seconds']:6.2f} CPU-s  {figures['peak']:5.0f} MB  {figures['ratio']:.3f} bytes/token")
    return figures


def peak_memory() -> float:
    """The most MB that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def run_side(side: str, quick: bool) -> None:
    seconds, peak, ratio = {"ours": train_ours, "peer": train_peer}[side](quick)
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
    seconds, memory, bytes_per_token = (
        [statistics.median(pair[side][name] for pair in rounds) for side in (0, 1)]
        for name in ("seconds", "peak", "ratio")
    )
    spent, held = seconds[0] / seconds[1], memory[0] / memory[1]
    if abs(bytes_per_token[0] / bytes_per_token[1] - 1) > 0.001:
        sys.exit("the two vocabularies do not compress alike: nothing to compare")
    result = {
        "name": "tokenizer_training",
        "figure": round(seconds[0], 2),
        "unit": "CPU-seconds",
        "peer": "Hugging Face tokenizers",
        "peer_figure": round(seconds[1], 2),
        "ratio": round(spent, 3),
        "bar": BAR,
        "memory": {
            "figure": round(memory[0], 1),
            "unit": "MB",
            "peer_figure": round(memory[1], 1),
            "ratio": round(held, 3),
            "bar": MEMORY_BAR,
        },
        "met": spent <= BAR and held <= MEMORY_BAR,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
