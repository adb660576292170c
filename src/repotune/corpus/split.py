"""Train, validation and test, by file.

Where a repository's files were last changed at two dates or more, its test files are those changed last: a model is
used on code that is newer than what it learnt from. Elsewhere a hash of the file's repository and path, salted by the
seed, draws them. Validation files are always drawn. Near-duplicates are gone by now, so none is on both sides.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

import pyarrow as pa

from repotune.corpus.engines import Engine
from repotune.corpus.rows import with_columns

SPLITS = ("train", "validation", "test")
LEAST_FILES = len(SPLITS)


def split_file(corpus: Path, split: str, shard: int) -> Path:
    """Where a shard of a split lies."""
    return corpus / f"{split}-{shard:05}.parquet"


def split_files(corpus: Path, split: str) -> list[Path]:
    """The shards of a split that are there, in order."""
    return list(takewhile(Path.exists, (split_file(corpus, split, shard) for shard in count())))


# Files are laid out on 0…1: in a dated repository from the newest to the oldest, each at a drawn point of its own slot,
# so that many small repositories give their share too; elsewhere where they were drawn. Test takes the front.
SPLIT = """
WITH kept AS (
    SELECT d.document, d.repository, d.committed, d.draw, d.text_bytes
    FROM documents AS d LEFT JOIN left_out ON d.document = left_out.document WHERE left_out.document IS NULL
), dated AS (
    SELECT repository FROM kept WHERE committed <> '' GROUP BY repository HAVING count(DISTINCT committed) > 1
), aged AS (
    SELECT document, repository, draw, text_bytes,
           row_number() OVER (PARTITION BY repository ORDER BY committed DESC, draw, document) AS age,
           count(*) OVER (PARTITION BY repository) AS files
    FROM kept
), laid AS (
    SELECT aged.document, aged.draw, aged.text_bytes,
           CASE WHEN dated.repository IS NULL THEN aged.draw ELSE (aged.age - aged.draw) / aged.files END AS point
    FROM aged LEFT JOIN dated ON aged.repository = dated.repository
), tested AS (
    SELECT document, draw, text_bytes, row_number() OVER (ORDER BY point, document) <= {test} AS test FROM laid
), ordered AS (
    SELECT document, text_bytes, test, row_number() OVER (PARTITION BY test ORDER BY draw, document) AS place
    FROM tested
)
SELECT document, text_bytes,
       CASE WHEN test THEN 'test' WHEN place <= {validation} THEN 'validation' ELSE 'train' END AS split
FROM ordered
"""

# A split's files are filled in the order of its documents, so that a shard is the same whoever writes it.
PLACE = """
WITH ends AS (
    SELECT s.document, s.split, s.text_bytes, {importance} AS importance,
           sum(s.text_bytes) OVER (PARTITION BY s.split ORDER BY s.document) AS bytes
    FROM splits AS s {joins}
), clusters AS (
    SELECT kept, count(*) + 1 AS files FROM repeated GROUP BY kept
)
SELECT ends.document, ends.split, CAST(floor((ends.bytes - ends.text_bytes) / {shard_bytes}) AS BIGINT) AS shard,
       CAST(coalesce(clusters.files, 1) AS BIGINT) AS cluster_size, ends.importance
FROM ends LEFT JOIN clusters ON ends.document = clusters.kept
"""
SHARD_BYTES = 256_000_000
"""Of text in a file of a split, as far as its last document does not go beyond."""


@dataclass(frozen=True)
class Draw:
    """Adds `draw`, a number in 0…1 that depends on the seed and the file's repository and path alone."""

    seed: int

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        names = zip(batch.column("repository").to_pylist(), batch.column("path").to_pylist(), strict=True)
        draws = [self.number(repository, path) for repository, path in names]
        return with_columns(batch, draw=pa.array(draws, pa.float64()))

    def number(self, repository: str, path: str) -> float:
        """The draw of one file; 53 bits, as many as a float holds."""
        name = hashlib.sha256(f"{self.seed}\0{repository}\0{path}".encode()).digest()
        return (int.from_bytes(name[:8], "big") >> 11) / 2**53


def assign(engine: Engine, files: int, validation_share: float, test_share: float) -> None:
    """Makes `splits` (document, split, text_bytes) of the `files` documents that are not `left_out`.

    No split is empty where there are three files.
    """
    test = min(max(1, round(test_share * files)), files - 2)
    validation = min(max(1, round(validation_share * files)), files - test - 1)
    engine.sql("splits", SPLIT.format(test=test, validation=validation))


def place(engine: Engine, weighed: bool, undrawn: bool) -> None:
    """Makes `placed` (document, split, shard, cluster_size, importance) of `splits`, by the tables `weighed` and
    `dropped_undrawn` where there are such."""
    joins = ["LEFT JOIN weighed AS w ON s.document = w.document"] if weighed else []
    if undrawn:
        joins += ["LEFT JOIN dropped_undrawn AS u ON s.document = u.document WHERE u.document IS NULL"]
    importance = "w.importance" if weighed else "CAST(NULL AS DOUBLE)"
    place = PLACE.format(importance=importance, joins=" ".join(joins), shard_bytes=f"{SHARD_BYTES}.0")
    engine.sql("placed", place)
