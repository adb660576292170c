"""Documents that hold items of benchmarks: found by the share of an item's word sequences that stand in them.

GPT-3 (https://arxiv.org/abs/2005.14165, appendix C) looked for any 13 words in a row, Llama 2
(https://arxiv.org/abs/2307.09288, A.6) for the share of an item that runs of more than 10 tokens cover. Here an item is
found where a quarter of the distinct 10-word sequences of its prompt, its solution or its tests is in a document,
whatever signs, blanks and capitals lie between: what is reformatted or embedded in a larger file is the same to it.

A quarter, because of 6,462 files of the standard libraries of Python 2.7, 3.6, 3.11 and 3.13 none held more than 0.14
of an item (that one counts from 1 to 20), and of 164 HumanEval programs hidden in such files 164 were found verbatim,
163 reformatted and 162 with all variables renamed. A solution without its docstring is found in 112 of 164 cases, for
the others have fewer than 17 words, and with its variables renamed as well it is not found.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repotune.core.artefact import digest, file_digest
from repotune.core.settings import CorpusSettings
from repotune.corpus.benchmarks import Part, benchmark_files, find_benchmarks, read_benchmarks
from repotune.corpus.engines import Engine
from repotune.corpus.hashing import Hashes, run_hashes, token_hashes
from repotune.corpus.rows import to_utf8, with_reasons

GRAM_WORDS = 10
_RULE = "contamination"
_LEAST_GRAMS = 8  # a text of fewer than 17 words is what any code has
SHARE = 0.25
_COMMON = 4  # items of one benchmark that share a sequence: imports, harnesses, headings
_SIEVE_BITS = 23

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Index:
    """The word sequences of benchmarks. `grams` ascend; gram i is of the parts parts[offsets[i] : offsets[i + 1]].

    `sizes` counts each part's grams and `names` has its benchmark, item and part. The `sieve` tells of most hashes, by
    their top bits, that they are not in `grams`: a look-up in 8 MB instead of a search.
    """

    grams: Hashes
    offsets: Counts
    parts: Counts
    sizes: Counts
    names: tuple[tuple[str, str, str], ...]
    sieve: npt.NDArray[np.bool_]

    def suspects(self, documents: Sequence[bytes]) -> list[int]:
        """Which documents may hold a gram. All are hashed at once, and few are left to be looked at by themselves."""
        words, bounds = token_hashes([document.lower() for document in documents])
        grams = run_hashes(words, GRAM_WORDS)  # also across documents: some are suspected for nothing
        places = np.flatnonzero(self.sieve.take(_sieved(grams)))
        known = np.append(self.grams, 0).take(np.searchsorted(self.grams, grams[places])) == grams[places]
        suspects: list[int] = np.unique(np.searchsorted(bounds, places[known], side="right") - 1).tolist()
        return suspects

    def matches(self, data: bytes) -> dict[tuple[str, str, str], float]:
        """The parts of which at least SHARE stands in `data`, and how much of each."""
        hashes = grams_of(data)
        hashes = np.unique(hashes[self.sieve.take(_sieved(hashes))])
        if not len(hashes) or not len(self.grams):
            return {}
        places = np.minimum(np.searchsorted(self.grams, hashes), len(self.grams) - 1)
        places = places[self.grams[places] == hashes]
        held = [self.parts[self.offsets[place] : self.offsets[place + 1]] for place in places]
        counts = np.bincount(np.concatenate([*held, np.empty(0, np.int64)]), minlength=len(self.sizes))
        shares = counts / np.maximum(self.sizes, 1)
        return {self.names[part]: float(shares[part]) for part in np.flatnonzero(shares >= SHARE)}

    def searched(self) -> dict[str, set[str]]:
        """By benchmark, the items that have a part long enough to be looked for."""
        items: dict[str, set[str]] = defaultdict(set)
        for (benchmark, item, _), size in zip(self.names, self.sizes, strict=True):
            if size:
                items[benchmark].add(item)
        return dict(items)


@dataclass(frozen=True)
class Decontaminate:
    """Drops the documents of a batch that hold items of the benchmarks at `paths`.

    The index of what is looked for is not part of the step: each process builds it once, in about a second.
    """

    paths: tuple[Path, ...]

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        index = load_index(self.paths)
        documents = to_utf8(batch.column("text"))
        reasons: list[tuple[str, str, str] | None] = [None] * len(documents)
        for place in index.suspects(documents):
            reasons[place] = _reason(index, documents[place])
        return with_reasons(batch, reasons)


def decontamination(settings: CorpusSettings, root: Path = Path()) -> list[Decontaminate]:
    """The step that `settings` ask for, or none. Raises UserError for benchmarks that cannot be read."""
    paths = tuple(find_benchmarks(settings.contamination, root))
    if not paths or not len(load_index(paths).grams):
        return []
    return [Decontaminate(paths)]


def state_of_benchmarks(settings: CorpusSettings, root: Path = Path()) -> str:
    """A hash of all that is looked for: what the corpus depends on beside its repositories and settings."""
    return digest([file_digest(path) for path in benchmark_files(find_benchmarks(settings.contamination, root))])


def found_items(settings: CorpusSettings, engine: Engine, root: Path = Path()) -> dict[str, dict[str, Any]]:
    """By benchmark: how many items were looked for, which were found, and in how many files (all of them dropped)."""
    paths = tuple(find_benchmarks(settings.contamination, root))
    if not paths:
        return {}
    values = engine.collect(f"SELECT value FROM dropped WHERE rule = '{_RULE}'")["value"].to_pylist()
    told = [json.loads(value) for value in values]
    summary = {}
    for benchmark, items in sorted(load_index(paths).searched().items()):
        held = [row[benchmark] for row in told if benchmark in row]
        found = sorted({item for row in held for item in row})
        summary[benchmark] = {"searched": len(items), "files": len(held), "items": len(found), "found": found}
    return summary


def _reason(index: Index, data: bytes) -> tuple[str, str, str] | None:
    found: dict[str, set[str]] = defaultdict(set)
    for benchmark, item, _ in index.matches(data):
        found[benchmark].add(item)
    if not found:
        return None
    value = json.dumps({benchmark: sorted(items) for benchmark, items in sorted(found.items())}, ensure_ascii=False)
    return _RULE, value, f"less than {SHARE:.0%} of the {GRAM_WORDS}-word sequences of an item"


@cache
def load_index(paths: tuple[Path, ...]) -> Index:
    """The index of the benchmarks at `paths`."""
    return build_index(read_benchmarks(paths))


def grams_of(data: bytes) -> Hashes:
    """The hash of each GRAM_WORDS words in a row, small and capital letters alike."""
    return run_hashes(token_hashes([data.lower()])[0], GRAM_WORDS)


def _sieved(grams: Hashes) -> Counts:
    """Where the sieve tells of each of `grams`."""
    return (grams >> np.uint64(64 - _SIEVE_BITS)).view(np.int64)


def build_index(parts: Iterable[Part]) -> Index:
    """The index of `parts`, equal texts of a benchmark once, without what many items have in common."""
    seen: set[tuple[str, str, str]] = set()
    names: list[tuple[str, str, str]] = []
    grams: list[Hashes] = []
    for part in parts:
        if (part.benchmark, part.part, part.text) not in seen:
            seen.add((part.benchmark, part.part, part.text))
            names.append((part.benchmark, part.item, part.part))
            grams.append(np.unique(grams_of(part.text.encode(errors="replace"))))
    common = _common(names, grams)
    grams = [np.setdiff1d(each, common[name[0]], assume_unique=True) for name, each in zip(names, grams, strict=True)]
    grams = [each if len(each) >= _LEAST_GRAMS else each[:0] for each in grams]
    sizes = np.array([len(each) for each in grams], np.int64)
    flat = np.concatenate([*grams, np.empty(0, np.uint64)])
    order = np.argsort(flat, kind="stable")
    owners = np.repeat(np.arange(len(grams)), sizes)[order]
    distinct, starts = np.unique(flat[order], return_index=True)
    sieve = np.zeros(1 << _SIEVE_BITS, np.bool_)
    sieve[_sieved(distinct)] = True
    return Index(distinct, np.append(starts, len(flat)).astype(np.int64), owners, sizes, tuple(names), sieve)


def _common(names: list[tuple[str, str, str]], grams: list[Hashes]) -> Mapping[str, Hashes]:
    """By benchmark, the grams that _COMMON or more of its items share."""
    by_item: dict[str, dict[str, list[Hashes]]] = defaultdict(lambda: defaultdict(list))
    for (benchmark, item, _), each in zip(names, grams, strict=True):
        by_item[benchmark][item].append(each)
    common = {}
    for benchmark, items in by_item.items():
        one = [np.unique(np.concatenate(each)) for each in items.values()]
        values, counts = np.unique(np.concatenate(one), return_counts=True)
        common[benchmark] = values[counts >= _COMMON]
    return common
