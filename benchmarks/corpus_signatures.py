"""MinHash signatures of near-duplicate detection per core: ours against datasketch's MinHash.update_batch.

Both turn the same source files, this Python's standard library, into 250-value signatures over shingles of five
tokens: datasketch from a regular expression's tokens, by its generator, which draws the permutations once and calls
update_batch; ours by repotune.corpus.shingles. CPU time of one process, in turns on the same slice of files; medians
over rounds.

    python benchmarks/corpus_signatures.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from datasketch import MinHash

from repotune.corpus.shingles import PERMUTATIONS, SHINGLE_TOKENS, band_keys, band_rows, shingles

_TOKEN = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
_BAR = 8.0
_ROWS = band_rows(0.7)
_BATCH_FILES = 256  # as the corpus step takes them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the files")
    documents = read_documents(every=10 if parser.parse_args().quick else 1)
    rounds = [documents[start::5] for start in range(5)]
    with_ours(rounds[0][:20])  # tables of powers and imports are not part of the rate
    with_datasketch(rounds[0][:20])
    ours, peers = [], []
    for number, part in enumerate(rounds):
        ours.append(rate(with_ours, part))
        peers.append(rate(with_datasketch, part))
        print(f"round {number}: ours {ours[-1]:.1f} MB/s, datasketch {peers[-1]:.2f} MB/s", file=sys.stderr)
    figure, peer = statistics.median(ours), statistics.median(peers)
    result = {
        "name": "MinHash signatures per core",
        "figure": round(figure, 2),
        "unit": "MB/s",
        "peer": f"datasketch {version('datasketch')} MinHash.update_batch",
        "peer_figure": round(peer, 2),
        "ratio": round(figure / peer, 2),
        "bar": _BAR,
        "met": figure / peer >= _BAR,
    }
    print(json.dumps(result))


def read_documents(every: int) -> list[bytes]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(path for path in folder.rglob("*.py") if "site-packages" not in path.parts)
    return [path.read_bytes() for path in paths[::every]]


def with_ours(documents: list[bytes]) -> None:
    for begin in range(0, len(documents), _BATCH_FILES):
        band_keys(shingles(documents[begin : begin + _BATCH_FILES])[0], _ROWS)


def with_datasketch(documents: list[bytes]) -> None:
    for _ in MinHash.generator(map(shingle_set, documents), num_perm=PERMUTATIONS):
        pass


def shingle_set(document: bytes) -> set[bytes]:
    tokens = _TOKEN.findall(document)
    return {b" ".join(tokens[at : at + SHINGLE_TOKENS]) for at in range(len(tokens) - SHINGLE_TOKENS + 1)}


def rate(sign: Callable[[list[bytes]], None], documents: list[bytes]) -> float:
    """Megabytes of source per second of CPU time."""
    started = time.process_time()
    sign(documents)
    return sum(map(len, documents)) / 1e6 / (time.process_time() - started)


if __name__ == "__main__":
    main()
