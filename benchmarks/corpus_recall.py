"""How many near-duplicates are found, and how many of those are some: ours against LSH that is not verified.

The files are the standard libraries of several Pythons side by side. The truth is exact: two files are near-duplicates
if the sets of their runs of five tokens have a Jaccard similarity of 0.7 or more. All such pairs are found by prefix
filtering (Bayardo et al., "Scaling up all pairs similarity search", WWW 2007): ordered from the rarest run to the
commonest, such sets share one among the first |s| - ⌈0.7 |s|⌉ + 1. Nothing of it is ours: tokens by a regular
expression, runs by Python's hash, sets by numpy. Files of equal text count once.

One file of a group is kept, so what counts is the choice: a pair is missed if both are kept, and a file is dropped
wrongly if the kept one that it is said to repeat is none of its near-duplicates. Beside that stands how many of the
pairs are proposed and verified at all. The peer is datasketch's MinHashLSH with BigCode's 25 bands of 10, whose pairs
nobody verifies; its choice is the first of each connected group, as there.

    python benchmarks/corpus_recall.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
from datasketch import MinHash, MinHashLSH
from libraries import File, put_texts, side_by_side

from repotune.core.console import Console
from repotune.corpus.duplicates import Sign, find_duplicates
from repotune.corpus.engines.local import LocalEngine

_RECALL_BAR, _PRECISION_BAR = 0.999, 1.0
_THRESHOLD = 0.7
_TOKEN = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
_GROUPS = 200_000  # runs whose files are paired at a time
Pairs = set[tuple[int, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the files")
    files, told = side_by_side(every=16 if parser.parse_args().quick else 1)
    first = {file.text: number for number, file in reversed(list(enumerate(files)))}
    distinct = sorted(first.values())
    runs = {number: runs_of(files[number].text) for number in distinct}
    truth = near_duplicates(runs)
    print(f"{len(files)} files, {len(distinct)} distinct, {len(truth)} pairs; {told}", file=sys.stderr)
    dropped, edges = with_ours(files)
    near = {number: kept for number, (kept, rule) in dropped.items() if rule == "near_duplicate"}
    recall = share(a in dropped or b in dropped for a, b in truth)
    precision = share(similarity(runs_of(files[a].text), runs_of(files[b].text)) >= _THRESHOLD for a, b in near.items())
    exact = {number for number, (_, rule) in dropped.items() if rule == "exact_duplicate"}
    proposed = share(pair in edges or not exact.isdisjoint(pair) for pair in truth)
    pairs = with_datasketch({number: files[number].text for number in distinct})
    kept = representatives(distinct, pairs)
    peer = share(kept[a] != a or kept[b] != b for a, b in truth)
    wrong = [similarity(runs[a], runs[b]) < _THRESHOLD for a, b in kept.items() if a != b]
    print(
        f"dropped as near-duplicates: ours {len(near)}, datasketch {len(wrong)} ({sum(wrong)} for a file that they do "
        f"not resemble); of its {len(pairs)} pairs {share(pair in truth for pair in pairs):.4f} are near-duplicates, "
        f"and {share(pair in pairs for pair in truth):.4f} of all are among them",
        file=sys.stderr,
    )
    result = {
        "name": f"near-duplicate pairs of which one goes, of {len(truth)}",
        "figure": round(recall, 5),
        "unit": "recall",
        "peer": f"datasketch {version('datasketch')} LSH 25 × 10, unverified",
        "peer_figure": round(peer, 5),
        "ratio": round(recall / peer, 4),
        "bar": _RECALL_BAR,
        "proposed": round(proposed, 5),
        "peer_proposed": round(share(pair in pairs for pair in truth), 5),
        "precision": precision,
        "peer_precision": round(1 - sum(wrong) / len(wrong), 5),
        "precision_bar": _PRECISION_BAR,
        "met": recall >= _RECALL_BAR and precision >= _PRECISION_BAR,
    }
    print(json.dumps(result))


def share(found: Iterable[bool]) -> float:
    answers = list(found)
    return sum(answers) / len(answers)


def runs_of(text: str) -> np.ndarray:
    """The hashes of the distinct runs of five tokens, ascending."""
    tokens = _TOKEN.findall(text.encode())
    found = {hash(run) for run in zip(*(tokens[place:] for place in range(5)), strict=False)}
    return np.sort(np.fromiter(found, np.int64, len(found)))


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)


def near_duplicates(runs: dict[int, np.ndarray]) -> Pairs:
    """All pairs with at least the threshold, exactly."""
    numbers = np.array([number for number in runs if len(runs[number])])
    sizes = np.array([len(runs[number]) for number in numbers])
    _, places, counts = np.unique(
        np.concatenate([runs[number] for number in numbers]), return_inverse=True, return_counts=True
    )
    # The place of each run from the rarest to the commonest.
    order = np.empty(len(counts), np.int64)
    order[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    prefixes, owners = [], []
    for owner, (end, size) in enumerate(zip(np.cumsum(sizes), sizes, strict=True)):
        prefix = size - math.ceil(_THRESHOLD * size - 1e-9) + 1
        prefixes.append(np.sort(order[places[end - size : end]])[:prefix])
        owners.append(np.full(prefix, owner))
    return {
        (int(numbers[a]), int(numbers[b]))
        for a, b in candidates(np.concatenate(prefixes), np.concatenate(owners), sizes)
        if similarity(runs[numbers[a]], runs[numbers[b]]) >= _THRESHOLD
    }


def candidates(keys: np.ndarray, owners: np.ndarray, sizes: np.ndarray) -> Pairs:
    """Pairs of owners that share a key, a < b, where their sizes do not rule out the threshold."""
    order = np.lexsort((owners, keys))
    keys, owners = keys[order], owners[order]
    bounds = np.flatnonzero(np.diff(keys, prepend=-1, append=-1))
    found: list[np.ndarray] = []
    for start, end in pairwise(bounds.tolist()):
        if end - start > 1:
            group = owners[start:end]
            left, right = np.triu_indices(len(group), 1)
            found.append(group[left] * len(sizes) + group[right])
            if len(found) > _GROUPS:
                found = [np.unique(np.concatenate(found))]
    codes = np.unique(np.concatenate([*found, np.empty(0, np.int64)]))
    a, b = np.divmod(codes, len(sizes))
    near = np.minimum(sizes[a], sizes[b]) >= _THRESHOLD * np.maximum(sizes[a], sizes[b]) - 1e-9
    return set(zip(a[near].tolist(), b[near].tolist(), strict=True))


def with_ours(files: list[File]) -> tuple[dict[int, tuple[int, str]], Pairs]:
    """Of each dropped file the kept one and the rule; and the pairs that were proposed and verified."""
    with tempfile.TemporaryDirectory() as folder, LocalEngine(1, Path(folder), Console(quiet=True)) as engine:
        put_texts(engine, files)
        engine.map("documents", "texts", [Sign(_THRESHOLD)], "signing")
        find_duplicates(engine, _THRESHOLD)
        rows = engine.collect("SELECT document, kept, rule FROM repeated").to_pylist()
        edges = engine.collect("SELECT document, other FROM edges").to_pylist()
    dropped = {row["document"]: (row["kept"], row["rule"]) for row in rows}
    return dropped, {tuple(sorted((row["document"], row["other"]))) for row in edges}


def with_datasketch(texts: dict[int, str]) -> Pairs:
    """The pairs that share a band of 10."""
    index = MinHashLSH(num_perm=250, params=(25, 10))
    numbers = list(texts)
    signed = MinHash.generator(map(strings_of, texts.values()), num_perm=250)
    pairs: Pairs = set()
    for number, signature in zip(numbers, signed, strict=True):
        if not signature.is_empty():
            pairs |= {(other, number) for other in index.query(signature)}
            index.insert(number, signature)
    return pairs


def strings_of(text: str) -> set[bytes]:
    tokens = _TOKEN.findall(text.encode())
    return {b" ".join(tokens[at : at + 5]) for at in range(len(tokens) - 4)}


def representatives(numbers: list[int], pairs: Pairs) -> dict[int, int]:
    """The least number of each one's connected group."""
    parents = {number: number for number in numbers}

    def find(number: int) -> int:
        while parents[number] != number:
            parents[number] = number = parents[parents[number]]
        return number

    for a, b in pairs:
        low, high = sorted((find(a), find(b)))
        parents[high] = low
    return {number: find(number) for number in numbers}


if __name__ == "__main__":
    main()
