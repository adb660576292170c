"""The whole near-duplicate pass per core: ours against datatrove's four MinHash stages and against BigCode's script.

All sign, propose, group and choose on the standard libraries of several Pythons side by side; only ours verifies what
is proposed. Texts are in memory beforehand; what each writes on its way (ours tables, datatrove signatures) counts. CPU
time of one process and one thread, in turns on the same slice of files; medians over rounds.

- Ours: signing, candidates, verification and choice by the local engine, 5-grams, 50 bands of 5.
- datatrove: MinhashDedupSignature, Buckets, Cluster and Filter as they come, 14 × 8, 5-grams, xxhash; only its word
  tokenizers, which are models of prose, give way to a regular expression. "Bare" spares it its normalisation too
  (lower case, numbers, punctuation, diacritics), which is most of its time and of no use to code.
- BigCode: minhash_deduplication.py of bigcode-dataset, by its published method in our words: split at what is not
  alphanumeric, 5-grams, SHA-1, 256 permutations modulo 2^61 - 1 in numpy, 25 bands of 10 (its optimum for 0.7),
  union-find. Without the data set around it.

    python benchmarks/corpus_near_duplicates.py [--quick]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.utils.hashing import HashConfig
from datatrove.utils.logging import logger
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer
from libraries import File, put_texts, side_by_side

from repotune.core.console import Console
from repotune.corpus.duplicates import Sign, find_duplicates
from repotune.corpus.engines.local import LocalEngine

_BAR = 5.0
_THRESHOLD = 0.7
_ROUNDS = 3
_TOKEN = re.compile(r"[A-Za-z0-9_\x80-\U0010ffff]+")
Keep = Callable[[list[File], Path], tuple[float, int]]
"""Keeps one of each group, with a folder of its own; returns CPU seconds, and how many files are kept."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of that")
    files, told = side_by_side(every=16 if parser.parse_args().quick else 4)
    print(f"{len(files)} files, {megabytes(files):.1f} MB of {told}", file=sys.stderr)
    logger.remove()
    passes: dict[str, Keep] = {
        "ours": with_ours,
        "datatrove": partial(with_datatrove, TextNormConfig()),
        "bare": partial(with_datatrove, TextNormConfig(*[False] * 5)),
        "bigcode": with_bigcode,
    }
    rates: dict[str, list[float]] = {name: [] for name in passes}
    kept: dict[str, int] = dict.fromkeys(passes, 0)
    paths = sorted({file.path for file in files})
    for keep in passes.values():  # imports and tables are not part of the rate
        in_folder(keep, files[:20])
    for number in range(_ROUNDS):
        mine = set(paths[number::_ROUNDS])
        part = [file for file in files if file.path in mine]
        for name, keep in passes.items():
            seconds, count = in_folder(keep, part)
            rates[name].append(megabytes(part) / seconds)
            kept[name] += count
        print(f"round {number}: " + ", ".join(f"{name} {rates[name][-1]:.2f} MB/s" for name in passes), file=sys.stderr)
    print(f"kept of {len(files)}: " + ", ".join(f"{name} {count}" for name, count in kept.items()), file=sys.stderr)
    figure, datatrove, bare, bigcode = (statistics.median(rates[name]) for name in passes)
    result = {
        "name": "the whole near-duplicate pass per core",
        "figure": round(figure, 2),
        "unit": "MB/s",
        "peer": f"datatrove {version('datatrove')}, 14 × 8",
        "peer_figure": round(datatrove, 2),
        "ratio": round(figure / datatrove, 2),
        "ratio_bare": round(figure / bare, 2),
        "second_peer": "BigCode's published method, 25 × 10",
        "second_peer_figure": round(bigcode, 2),
        "second_ratio": round(figure / bigcode, 2),
        "bar": _BAR,
        "met": min(figure / datatrove, figure / bigcode) >= _BAR,
    }
    print(json.dumps(result))


def megabytes(files: list[File]) -> float:
    return sum(len(file.text.encode()) for file in files) / 1e6


def in_folder(keep: Keep, files: list[File]) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder:
        return keep(files, Path(folder))


def with_ours(files: list[File], folder: Path) -> tuple[float, int]:
    with LocalEngine(1, folder, Console(quiet=True)) as engine:
        put_texts(engine, files)
        started = time.process_time()
        engine.map("documents", "texts", [Sign(_THRESHOLD)], "signing")
        find_duplicates(engine, _THRESHOLD)
        repeated = engine.collect("SELECT count(*) AS n FROM repeated")["n"][0].as_py()
        return time.process_time() - started, len(files) - repeated


class CodeWords(WordTokenizer):
    """Words as code has them: letters, digits, underscores and what is beyond ASCII."""

    def word_tokenize(self, text: str) -> list[str]:
        return _TOKEN.findall(text)

    def sent_tokenize(self, text: str) -> list[str]:
        return text.splitlines()

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in _TOKEN.finditer(text)]


def with_datatrove(normal: TextNormConfig, files: list[File], folder: Path) -> tuple[float, int]:
    started = time.process_time()
    config = MinhashConfig(n_grams=5, norm_config=normal, hash_config=HashConfig(precision=64, hash_fc="xxhash"))
    signatures, buckets, clusters = (str(folder / name) for name in ("signatures", "buckets", "clusters"))

    def documents():
        return (Document(text=file.text, id=f"{file.library}/{file.path}") for file in files)

    MinhashDedupSignature(signatures, config, CodeWords()).run(documents(), 0, 1)
    for bucket in range(config.num_buckets):
        MinhashDedupBuckets(signatures, buckets, config=config).run(None, bucket, config.num_buckets)
    MinhashDedupCluster(buckets, clusters, config=config).run(None, 0, 1)
    kept = sum(1 for _ in MinhashDedupFilter(clusters).run(documents(), 0, 1))
    return time.process_time() - started, kept


_NOT_ALPHANUMERIC = re.compile("[^A-Za-z_0-9]")
_PRIME, _MOST = np.uint64((1 << 61) - 1), np.uint64((1 << 32) - 1)
_BANDS, _ROWS = 25, 10


def with_bigcode(files: list[File], _: Path) -> tuple[float, int]:
    started = time.process_time()
    draw = np.random.RandomState(42)
    factors, terms = (draw.randint(least, _PRIME, 256, np.uint64) for least in (1, 0))
    tables: list[dict[bytes, set[int]]] = [defaultdict(set) for _ in range(_BANDS)]
    for number, file in enumerate(files):
        minima = bigcode_signature(file.text, factors, terms)
        for band, table in enumerate(tables):
            table[minima[band * _ROWS : (band + 1) * _ROWS].byteswap().tobytes()].add(number)
    parents = list(range(len(files)))

    def find(number: int) -> int:
        while parents[number] != number:
            parents[number] = number = parents[parents[number]]
        return number

    for table in tables:
        for cluster in table.values():
            first = min(cluster)
            for number in cluster:
                roots = find(number), find(first)
                parents[roots[0]] = parents[roots[1]] = min(roots)
    kept = sum(find(number) == number for number in range(len(files)))
    return time.process_time() - started, kept


def bigcode_signature(text: str, factors: np.ndarray, terms: np.ndarray) -> np.ndarray:
    words = _NOT_ALPHANUMERIC.split(text)
    shingles = {" ".join(words[place : place + 5]) for place in range(len(words) - 4)}
    digests = (hashlib.sha1(shingle.encode()).digest()[:4] for shingle in shingles)
    hashes = np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)
    permuted = (hashes[:, None] * factors + terms) % _PRIME & _MOST
    return np.vstack([permuted, np.full(256, _MOST)]).min(axis=0)


if __name__ == "__main__":
    main()
