"""Exact and near-duplicates: one file of each group stays, and every other names the one that it resembles.

Which one stays is a total order over what the files are, never over how they were read: a known licence before an
unknown one, the later commit, the shorter path, then path and repository.

Near-duplicates are what a kept file resembles with a Jaccard similarity of at least the threshold, verified exactly on
their shingles; MinHash bands only propose. A file is dropped if it resembles one earlier in the order that is kept,
else it is kept itself. So no two kept files are near-duplicates (of those the bands propose), and none is dropped for
a file that it does not resemble, as happens where similarity is passed on along a chain.

That is the lexicographically first maximal independent set of the similarity graph. It needs no walk down the order: in
each round the files without an earlier neighbour stay, their neighbours go, and what went frees others (Blelloch,
Fineman and Shun, "Greedy sequential maximal independent set and matching are parallel on average", SPAA 2012).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repotune.corpus.engines import Engine
from repotune.corpus.rows import to_utf8, with_columns
from repotune.corpus.shingles import band_keys, band_rows, jaccard, shingles

# A bucket of n files would make n² pairs. Each file is compared with the first of its bucket, at most this many. Where
# that misses a duplicate, it may stay; none that differs is ever dropped. Buckets this full hold templates, or copies
# of which the first few already tell.
_MOST_COMPARED = 64

EXACT = """
SELECT document, kept FROM (
    SELECT document, first_value(document) OVER (PARTITION BY normal ORDER BY precedence) AS kept FROM documents
) AS named
WHERE document <> kept
"""

# Most keys are one document's alone; without these the window sorts little, and by a long text.
BUCKETS = """
WITH signed AS (
    SELECT bands.key, bands.document
    FROM bands LEFT JOIN exact ON bands.document = exact.document WHERE exact.document IS NULL
), shared AS (
    SELECT key FROM signed GROUP BY key HAVING count(*) > 1
)
SELECT signed.key, d.document, d.shingle_count,
       row_number() OVER (PARTITION BY signed.key ORDER BY d.precedence) AS place
FROM signed JOIN shared ON signed.key = shared.key JOIN documents AS d ON signed.document = d.document
"""

# Sizes alone rule out most pairs: a Jaccard similarity is at most the smaller set's share of the larger.
PAIRS = """
SELECT DISTINCT later.document, earlier.document AS other
FROM buckets AS later
JOIN (SELECT * FROM buckets WHERE place <= {most}) AS earlier
    ON later.key = earlier.key AND earlier.place < later.place
WHERE least(later.shingle_count, earlier.shingle_count)
    >= {threshold} * greatest(later.shingle_count, earlier.shingle_count)
"""

# One round: who has no earlier neighbour left stays, and who resembles one of those goes.
LOST = """
SELECT DISTINCT edges.document FROM {edges} AS edges
JOIN (SELECT other FROM {edges} EXCEPT SELECT document FROM {edges}) AS roots ON edges.other = roots.other
"""
EDGES = """
SELECT edges.* FROM {edges} AS edges
LEFT JOIN {lost} AS a ON edges.document = a.document LEFT JOIN {lost} AS b ON edges.other = b.document
WHERE a.document IS NULL AND b.document IS NULL
"""

NEAR = """
SELECT document, other AS kept FROM (
    SELECT edges.document, edges.other,
           row_number() OVER (PARTITION BY edges.document ORDER BY edges.similarity DESC, d.precedence) AS place
    FROM edges JOIN lost ON edges.document = lost.document LEFT JOIN lost AS gone ON edges.other = gone.document
    JOIN documents AS d ON edges.other = d.document
    WHERE gone.document IS NULL
) AS named
WHERE place = 1
"""

# What repeats a near-duplicate is told the file that is kept in its place.
REPEATED = """
SELECT document, kept, 'near_duplicate' AS rule, '{threshold:g}' AS threshold FROM near
UNION ALL
SELECT exact.document, coalesce(near.kept, exact.kept) AS kept, 'exact_duplicate' AS rule, 'equal text' AS threshold
FROM exact LEFT JOIN near ON exact.kept = near.document
"""

DROPPED_REPEATED = """
SELECT d.document, d.repository, d.path, repeated.rule, concat(kept.repository, '/', kept.path) AS value,
       repeated.threshold, d.size
FROM repeated JOIN documents AS d ON repeated.document = d.document
JOIN documents AS kept ON repeated.kept = kept.document
"""

_SIDES = ("left", "right")
_LATER_FIRST = str.maketrans("0123456789", "9876543210")


@dataclass(frozen=True)
class Sign:
    """Adds what duplicates are found by to a batch with `text`, and by what they are ordered.

    `text_bytes` is the text's length as UTF-8, `normal` the hash of the text without trailing white space, `tokens`
    their number, `shingles` the ascending hashes (64 bits each), `shingle_count` their number and `bands` the keys of
    the MinHash bands; these are empty for a file shorter than a shingle. `precedence` sorts before what of its likes
    goes.
    """

    threshold: float

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        data = to_utf8(batch.column("text"))
        sets, tokens = shingles(data)
        keys = band_keys(sets, band_rows(self.threshold)).view(np.int64)  # signed: Spark knows no other
        bands = [row if len(found) else row[:0] for row, found in zip(keys, sets, strict=True)]
        about = (batch.column(name).to_pylist() for name in ("licence", "committed", "path", "repository", "document"))
        return with_columns(
            batch,
            text_bytes=pa.array(map(len, data), pa.int64()),
            normal=pa.array(map(normal_digest, data), pa.string()),
            tokens=pa.array(tokens, pa.int64()),
            shingles=pa.array([found.tobytes() for found in sets], pa.binary()),
            shingle_count=pa.array([len(found) for found in sets], pa.int64()),
            bands=pa.array(bands, pa.list_(pa.int64())),
            precedence=pa.array([precedence(*row) for row in zip(*about, strict=True)], pa.string()),
        )


@dataclass(frozen=True)
class Compare:
    """Keeps the pairs whose shingles, `left` and `right`, are alike enough, with their `similarity`."""

    threshold: float

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        sides = ([np.frombuffer(each.as_buffer(), np.uint64) for each in batch.column(name)] for name in _SIDES)
        similarity = pa.array([jaccard(a, b, self.threshold) for a, b in zip(*sides, strict=True)], pa.float64())
        found = with_columns(batch.select(["document", "other"]), similarity=similarity)
        return found.filter(pc.greater_equal(similarity, self.threshold))


def precedence(licence: str, committed: str, path: str, repository: str, document: int) -> str:
    """A text that sorts before those of the likes of this file which go if it stays; no two files have the same."""
    later_first = committed.translate(_LATER_FIRST) if committed else "~"
    return f"{licence == 'unknown':d}\t{later_first}\t{len(path):06}\t{path}\t{repository}\t{document:020}"


def normal_digest(data: bytes) -> str:
    """SHA-256 of `data` with plain line ends, and without white space at the ends of lines and of the text."""
    lines = [line.rstrip(b" \t\r\f\v") for line in data.split(b"\n")]
    return hashlib.sha256(b"\n".join(lines).strip(b"\n")).hexdigest()


def find_duplicates(engine: Engine, threshold: float) -> None:
    """Makes `repeated` (document, kept, rule, threshold) and `dropped_repeated` (rows of DROPPED, and document)."""
    engine.sql("exact", EXACT)
    engine.sql("buckets", BUCKETS)
    engine.sql("pairs", PAIRS.format(most=_MOST_COMPARED, threshold=threshold - 1e-9))
    engine.compare("edges", "pairs", Compare(threshold))
    rounds, edges = 0, "edges"
    while engine.collect(f"SELECT count(*) AS n FROM {edges}")["n"][0].as_py():
        engine.sql(f"lost_{rounds}", LOST.format(edges=edges))
        engine.sql(f"edges_{rounds}", EDGES.format(edges=edges, lost=f"lost_{rounds}"))
        rounds, edges = rounds + 1, f"edges_{rounds}"
    lost = [f"SELECT document FROM lost_{number}" for number in range(rounds)]
    engine.sql("lost", " UNION ALL ".join(lost) or "SELECT document FROM edges")
    engine.sql("near", NEAR)
    engine.sql("repeated", REPEATED.format(threshold=threshold))
    engine.sql("dropped_repeated", DROPPED_REPEATED)
