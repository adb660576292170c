"""Counts of every context of up to five tokens and of what follows: our suffix array against a dict of n-grams.

    python benchmarks/evaluate_index.py [--quick]

Both index the same tokens and answer the same questions: for each place in held-out text, how often each of its
contexts of 1 to 5 tokens occurs, and how often with the token that follows. The answers are checked to be equal. The
dict is what a plain Python n-gram model keeps. CPU time, interleaved, medians; building is stated on stderr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tiktoken

from repotune.evaluate.suffix_array import SuffixArray
from repotune.tokenizer.layout import SPLIT_PATTERN
from repotune.tokenizer.vocabulary import train_bpe

ORDER = 5
BAR = 1.5


def tokens_of_the_library(files: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of the standard library to index, and of files left out to ask about."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[: files + 10]
    texts = [path.read_text("utf-8") for path in paths]
    pieces = train_bpe(iter(texts[:files]), 4000)
    encoding = tiktoken.Encoding(
        "library",
        pat_str=SPLIT_PATTERN,
        mergeable_ranks={piece: i for i, piece in enumerate(pieces)},
        special_tokens={},
    )
    parts = ("\n".join(texts[:files]), "\n".join(texts[files:]))
    indexed, asked = (np.array(encoding.encode_ordinary(part), np.int32) for part in parts)
    return indexed, asked


def build_dict(tokens: np.ndarray) -> Counter[tuple[int, ...]]:
    listed = tokens.tolist()
    counts: Counter[tuple[int, ...]] = Counter()
    for size in range(1, ORDER + 2):
        counts.update(zip(*(listed[shift:] for shift in range(size)), strict=False))
    return counts


def ask_dict(counts: Counter[tuple[int, ...]], asked: np.ndarray) -> np.ndarray:
    """(places, orders, 2): how often the context, and the context with what follows."""
    listed = asked.tolist()
    get = counts.get
    return np.array(
        [
            [
                (get(tuple(listed[at - size : at]), 0), get(tuple(listed[at - size : at + 1]), 0))
                for size in range(1, ORDER + 1)
            ]
            for at in range(ORDER, len(listed))
        ]
    )


def ask_array(index: SuffixArray, asked: np.ndarray) -> np.ndarray:
    """The same from the array of the reversed tokens: contexts of every length are nested spans."""
    contexts = np.lib.stride_tricks.sliding_window_view(asked, ORDER + 1)[:, ::-1]
    before = np.lib.stride_tricks.sliding_window_view(asked[:-1], ORDER)[:, ::-1]
    low, high = index.spans(contexts)
    low_before, high_before = index.spans(before)
    return np.stack([(high_before - low_before)[:, 1:], (high - low)[:, 2:]], axis=2)


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds")
    quick = parser.parse_args().quick
    indexed, asked = tokens_of_the_library(60 if quick else 150)
    started = time.process_time()
    counts = build_dict(indexed)
    dict_built = time.process_time() - started
    started = time.process_time()
    index = SuffixArray(indexed[::-1], ORDER + 1)
    array_built = time.process_time() - started
    if not np.array_equal(ask_dict(counts, asked), ask_array(index, asked)):
        sys.exit("the two disagree")
    ours, theirs = [], []
    for _ in range(3 if quick else 7):
        theirs.append(seconds(lambda: ask_dict(counts, asked)))
        ours.append(seconds(lambda: ask_array(index, asked)))
    looked_up = len(asked) * ORDER * 2
    figure, peer = (looked_up / statistics.median(times) for times in (ours, theirs))
    sys.stderr.write(
        f"{len(indexed):,} tokens: array built in {array_built:.2f} s of CPU time ({8 * len(indexed) / 1e6:.1f} MB), "
        f"dict in {dict_built:.2f} s ({len(counts):,} entries)\n"
    )
    result = {
        "name": "n-gram counts looked up",
        "figure": round(figure),
        "unit": "look-ups per CPU second",
        "peer": f"dict of {ORDER + 1}-grams",
        "peer_figure": round(peer),
        "ratio": round(figure / peer, 2),
        "bar": BAR,
        "met": figure / peer >= BAR,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
