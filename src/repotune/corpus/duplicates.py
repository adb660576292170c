"""Exact and near-duplicates: one file of each group stays, and every other names the one that it resembles.

Which one stays is a total order over what the files are, never over how they were read: a known licence before an
unknown one, the later commit, the shorter path, then path and repository.

Near-duplicates are what a kept file resembles with a Jaccard similarity of at least the threshold, verified exactly on
their shingles; MinHash bands only propose. Walking down the order, a file is dropped if it resembles one that is kept,
else it is kept itself. So no two kept files are near-duplicates (of those the bands propose), and none is dropped for
a file that it does not resemble, as happens where similarity is passed on along a chain.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repotune.core.console import Console
from repotune.corpus.engines.local import LocalEngine
from repotune.corpus.rows import with_columns
from repotune.corpus.shingles import band_keys, band_rows, jaccard, shingles

# A bucket of n files would make n² pairs. Each file is compared with what is kept of its buckets, at most this many of
# a bucket and this many in all, those first with which it shares most bands. Beyond, a duplicate may stay; none that
# differs is ever dropped. Buckets this full hold templates that differ more than they agree.
_MOST_REPRESENTATIVES = 64
_MOST_COMPARED = 64

_ORDER = "CASE WHEN licence = 'unknown' THEN 1 ELSE 0 END, committed DESC, length(path), path, repository"

EXACT = f"""
SELECT document, kept
FROM (SELECT document, first_value(document) OVER (PARTITION BY normal ORDER BY {_ORDER}) AS kept FROM documents) AS d
WHERE document <> kept
ORDER BY document
"""

# Only buckets that more than one file shares, file by file down the order.
BUCKETS = f"""
WITH firsts AS (
    SELECT document, licence, committed, path, repository,
           row_number() OVER (PARTITION BY normal ORDER BY {_ORDER}) AS copy
    FROM documents
), ranked AS (
    SELECT document, row_number() OVER (ORDER BY {_ORDER}) AS place FROM firsts WHERE copy = 1
), shared AS (
    SELECT bands.key FROM bands JOIN ranked ON bands.document = ranked.document GROUP BY bands.key HAVING count(*) > 1
)
SELECT ranked.place, ranked.document, bands.key
FROM bands JOIN ranked ON bands.document = ranked.document JOIN shared ON bands.key = shared.key
ORDER BY ranked.place, bands.key
"""

_TRAILING = re.compile(r"[ \t\r\f\v]+$", re.MULTILINE)


@dataclass(frozen=True)
class Sign:
    """Adds what duplicates are found by to a batch with `text`.

    `normal` is the hash of the text without trailing white space, `tokens` their number, `shingles` the ascending
    hashes and `bands` the keys of the MinHash bands; these two are empty for a file shorter than a shingle.
    """

    threshold: float

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column("text").to_pylist()
        sets, tokens = zip(*(shingles(text.encode()) for text in texts), strict=True) if texts else ((), ())
        keys = band_keys(list(sets), band_rows(self.threshold)).view(np.int64)  # signed: Spark knows no other
        bands = [row if len(found) else row[:0] for row, found in zip(keys, sets, strict=True)]
        return with_columns(
            batch,
            normal=pa.array([normal_digest(text) for text in texts], pa.string()),
            tokens=pa.array(tokens, pa.int64()),
            shingles=pa.array(sets, pa.list_(pa.uint64())),
            bands=pa.array(bands, pa.list_(pa.int64())),
        )


def normal_digest(text: str) -> str:
    """SHA-256 of `text` with plain line ends, and without white space at the ends of lines and of the text."""
    return hashlib.sha256(_TRAILING.sub("", text.replace("\r\n", "\n")).strip("\n").encode()).hexdigest()


def exact_duplicates(engine: LocalEngine) -> dict[int, int]:
    """Each document that repeats another, and the one that stays."""
    found = engine.query(EXACT)
    return dict(zip(found["document"].to_pylist(), found["kept"].to_pylist(), strict=True))


def near_duplicates(engine: LocalEngine, threshold: float, console: Console) -> dict[int, int]:
    """Each document, exact duplicates aside, that resembles a kept one, and that kept one."""
    dropped: dict[int, int] = {}
    kept_in: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    buckets = engine.query(BUCKETS)
    with console.progress("comparing", pc.count_distinct(buckets["document"]).as_py(), "files") as progress:
        for place, document, keys in _by_document(buckets):
            shared = Counter(other for key in keys for other in kept_in[key])
            found = _first_alike(engine, document, shared, threshold)
            if found is not None:
                dropped[document] = found
            else:
                for key in keys:
                    if len(kept_in[key]) < _MOST_REPRESENTATIVES:
                        kept_in[key].append((place, document))
            progress.advance()
    return dropped


def _first_alike(engine: LocalEngine, document: int, shared: Counter[tuple[int, int]], threshold: float) -> int | None:
    """The first of the kept files `shared` (place, document) that `document` resembles, by bands shared, then place."""
    hashes = engine.shingles(document)
    for _, (_, other) in heapq.nsmallest(_MOST_COMPARED, ((-bands, kept) for kept, bands in shared.items())):
        if jaccard(hashes, engine.shingles(other), threshold) >= threshold:
            return other
    return None


def _by_document(buckets: pa.Table) -> Iterator[tuple[int, int, list[int]]]:
    """Place, document and keys, document by document. `buckets` is turned into Python objects piece by piece."""
    pieces = buckets.to_batches(max_chunksize=100_000)
    rows = (row for piece in pieces for row in zip(*(column.to_pylist() for column in piece.columns), strict=True))
    for (place, document), group in groupby(rows, key=itemgetter(0, 1)):
        yield place, document, [key for _, _, key in group]
