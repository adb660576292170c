"""Train, validation and test, by file.

Where a repository's files were last changed at two dates or more, its test files are those changed last: a model is
used on code that is newer than what it learnt from. Elsewhere a hash of the file's repository and path, salted by the
seed, draws them. Validation files are always drawn. Near-duplicates are gone by now, so none is on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa

from repotune.corpus.engines.local import LocalEngine
from repotune.corpus.rows import with_columns

SPLITS = ("train", "validation", "test")
LEAST_FILES = len(SPLITS)

# Files are laid out on 0…1: in a dated repository from the newest to the oldest, each at a drawn point of its own slot,
# so that many small repositories give their share too; elsewhere where they were drawn. Test takes the front.
ASSIGN = """
WITH kept AS (
    SELECT d.document, d.repository, d.committed, d.draw
    FROM documents AS d LEFT JOIN left_out ON d.document = left_out.document WHERE left_out.document IS NULL
), dated AS (
    SELECT repository FROM kept WHERE committed <> '' GROUP BY repository HAVING count(DISTINCT committed) > 1
), aged AS (
    SELECT document, repository, draw, row_number() OVER (PARTITION BY repository ORDER BY committed DESC, draw) AS age,
           count(*) OVER (PARTITION BY repository) AS files
    FROM kept
), laid AS (
    SELECT aged.document, aged.draw,
           CASE WHEN dated.repository IS NULL THEN aged.draw ELSE (aged.age - aged.draw) / aged.files END AS point
    FROM aged LEFT JOIN dated ON aged.repository = dated.repository
), tested AS (
    SELECT document, draw, row_number() OVER (ORDER BY point, document) <= {test} AS test FROM laid
), ordered AS (
    SELECT document, test, row_number() OVER (PARTITION BY test ORDER BY draw, document) AS place FROM tested
)
SELECT document, CASE WHEN test THEN 'test' WHEN place <= {validation} THEN 'validation' ELSE 'train' END AS split
FROM ordered
ORDER BY document
"""


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


def assign(
    engine: LocalEngine, dropped: Collection[int], files: int, validation_share: float, test_share: float
) -> dict[int, str]:
    """The split of each of the `files` documents that are not `dropped`; none is empty where there are three files."""
    test = min(max(1, round(test_share * files)), files - 2)
    validation = min(max(1, round(validation_share * files)), files - test - 1)
    left_out = pa.table({"document": pa.array(sorted(dropped), pa.int64())})
    found = engine.query(ASSIGN.format(test=test, validation=validation), left_out=left_out)
    return dict(zip(found["document"].to_pylist(), found["split"].to_pylist(), strict=True))
