"""The longest run of each answer that stands in the training text: windows streamed past, against a suffix array of it.

    python benchmarks/evaluate_leaks.py [--quick]

Training text is the standard library's, answers are pieces of it, of files left out, and mixtures of both. The peer
indexes the training text and bisects (`difflib` would compare each answer with each file: hours); ours indexes the
answers and reads the text once. Both are asked for the longest run of at least 32 bytes and checked to agree. CPU time
from texts to answers, since a corpus is searched once; interleaved, medians. Memory is stated on stderr.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from repotune.evaluate.leaks.documents import Document
from repotune.evaluate.leaks.search import WINDOW, search
from repotune.evaluate.suffix_array import SuffixArray

ANSWER = 256  # bytes, as of some 64 tokens
BAR = 4.0


def texts(files: int) -> tuple[list[str], list[str]]:
    """Files to search, and answers."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[: files + 20]
    # A byte a character: positions are then the same for both.
    found = [path.read_bytes().decode("ascii", "replace").replace("�", "?") for path in paths]
    source = random.Random(1)

    def piece(of: Sequence[str], length: int) -> str:
        text = source.choice(of)
        start = source.randrange(max(1, len(text) - length))
        return text[start : start + length]

    training, left_out = found[:files], found[files:]
    answers = [piece(training, ANSWER) for _ in range(100)] + [piece(left_out, ANSWER) for _ in range(200)]
    answers += [piece(left_out, 80) + piece(training, 96) + piece(left_out, 80) for _ in range(100)]
    return training, answers


def ours(training: Sequence[str], answers: Sequence[str]) -> list[int]:
    """The length of each answer's longest run, 0 below WINDOW bytes."""
    documents = (Document(text, "library", "", "", "Python", "PSF-2.0") for text in training)
    runs = search(documents, [answer.encode() for answer in answers], (), lambda *_: True).runs
    return [run.length if run else 0 for run in runs]


def suffix_array(training: Sequence[str], answers: Sequence[str]) -> list[int]:
    """The same: every beginning of every suffix of every answer, in an array over all of the training text."""
    joined = np.frombuffer("\0".join(training).encode(), np.uint8)
    index = SuffixArray(joined, ANSWER)
    lengths = []
    for answer in answers:
        data = np.frombuffer(answer.encode(), np.uint8).astype(np.int64)
        padded = np.concatenate([data, np.full(ANSWER, -1)])
        low, high = index.spans(np.lib.stride_tricks.sliding_window_view(padded, ANSWER)[: len(data)])
        longest = int(((high > low).sum(axis=1) - 1).max())
        lengths.append(longest if longest >= WINDOW else 0)
    return lengths


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds")
    quick = parser.parse_args().quick
    training, answers = texts(20 if quick else 120)
    size = sum(map(len, training)) / 1e6
    if ours(training, answers) != suffix_array(training, answers):
        sys.exit("the two disagree")
    own, theirs = [], []
    for _ in range(3):
        theirs.append(seconds(lambda: suffix_array(training, answers)))
        own.append(seconds(lambda: ours(training, answers)))
    figure, peer = (size / statistics.median(times) for times in (own, theirs))
    sys.stderr.write(
        f"{size:.1f} MB of training text, {len(answers)} answers: an array of {9 * size:.0f} MB, and 40 bytes a byte "
        "while it sorts; ours holds 4 MB and 16 bytes a byte of answers\n"
    )
    result = {
        "name": "training text searched for what answers echo",
        "figure": round(figure, 2),
        "unit": "MB per CPU second",
        "peer": "suffix array of the training text",
        "peer_figure": round(peer, 3),
        "ratio": round(figure / peer, 1),
        "bar": BAR,
        "met": figure / peer >= BAR,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
