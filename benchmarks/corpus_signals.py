"""Signals per core: all of ours in one pass, with and without parsing, against four of them by datatrove's functions.

Both measure the same source files, this Python's standard library. The peer takes a document at a time, as its
filters do, and measures what it has of ours: lines that repeat, the commonest run of two and of four words, and runs of
ten words that repeat (Gopher's filter; its word splitter, a language model for prose, gives way to a regular
expression). CPU time of one process, in turns on the same slice of files; medians over rounds.

    python benchmarks/corpus_signals.py [--quick]
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

import pyarrow as pa
from datatrove.pipeline.filters.gopher_repetition_filter import (
    find_all_duplicate,
    find_duplicates,
    find_top_duplicate,
    get_n_grams,
)

from repotune.corpus.signals.annotate import ALL, Annotate

_BAR, _PARSING_BAR = 20.0, 3.0
_WORD = re.compile(r"\w+")
_BATCH_FILES = 256  # as the corpus step takes them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the files")
    documents = read_documents(every=4 if parser.parse_args().quick else 1)
    rounds = [documents[start::5] for start in range(5)]
    steps: dict[str, Callable[[list[str]], object]] = {
        "ours": lambda part: annotate(Annotate(), part),
        "parsing": lambda part: annotate(Annotate(frozenset({"Python"})), part),
        "datatrove": lambda part: [with_datatrove(text) for text in part],
    }
    for step in steps.values():
        step(rounds[0][:20])  # imports and tables are not part of the rate
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for number, part in enumerate(rounds):
        for name, step in steps.items():
            rates[name].append(rate(step, part))
        print(f"round {number}: " + ", ".join(f"{name} {rates[name][-1]:.2f} MB/s" for name in steps), file=sys.stderr)
    ours, parsing, peer = (statistics.median(rates[name]) for name in steps)
    result = {
        "name": f"{len(ALL)} signals per core, without parsing",
        "figure": round(ours, 2),
        "unit": "MB/s",
        "peer": f"datatrove {version('datatrove')}, 4 of them",
        "peer_figure": round(peer, 2),
        "ratio": round(ours / peer, 2),
        "bar": _BAR,
        "with_parsing": round(parsing, 2),
        "with_parsing_bar": _PARSING_BAR,
        "met": ours >= _BAR and parsing >= _PARSING_BAR,
    }
    print(json.dumps(result))


def read_documents(every: int) -> list[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(path for path in folder.rglob("*.py") if "site-packages" not in path.parts)
    return [text for path in paths[::every] if (text := path.read_text(encoding="utf-8", errors="replace"))]


def annotate(step: Annotate, texts: list[str]) -> None:
    for begin in range(0, len(texts), _BATCH_FILES):
        part = texts[begin : begin + _BATCH_FILES]
        step(
            pa.RecordBatch.from_pydict({"text": part, "path": ["a.py"] * len(part), "language": ["Python"] * len(part)})
        )


def with_datatrove(text: str) -> tuple[float, ...]:
    lines = text.split("\n")
    _, repeated = find_duplicates(lines)
    words = _WORD.findall(text)
    tops = [find_top_duplicate(grams) if (grams := get_n_grams(words, size)) else 0 for size in (2, 4)]
    return (repeated / len(text), *(top / len(text) for top in tops), find_all_duplicate(words, 10) / len(text))


def rate(step: Callable[[list[str]], object], texts: list[str]) -> float:
    """Megabytes of source per second of CPU time."""
    size = sum(len(text.encode()) for text in texts)
    started = time.process_time()
    step(texts)
    return size / 1e6 / (time.process_time() - started)


if __name__ == "__main__":
    main()
