"""How much more a document resembles what the model is for than the corpus does: DSIR (Xie et al. 2023).

Words and pairs of words are hashed into 10,000 buckets. What the team names as target and the corpus itself are each a
bag of buckets, and a document's importance is the mean over its n-grams of log(target's share / corpus's share). From
the importance follows which documents are kept, drawn without replacement, or how often each is seen.

Where the paper (arXiv 2302.03169) is left: documents are as long as files are, not chunks of 128 words, and a sum would
rank by length, so the mean over n-grams is taken; and the target's shares are drawn towards the corpus's, as if it held
one more n-gram for each bucket, so that a target of a few files says little instead of much that is chance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from repotune.corpus.grams import modulo, word_grams
from repotune.corpus.logistic import Floats, Integers
from repotune.corpus.rows import with_columns

BUCKETS = 10_000
COUNTS = pa.schema([("bucket", pa.int64()), ("count", pa.int64())])


def count(batch: pa.RecordBatch) -> pa.RecordBatch:
    """How many n-grams of a batch with `text` fall into each bucket (COUNTS); empty buckets have no row."""
    counts = count_texts(text.as_buffer() for text in batch.column("text"))
    buckets = np.flatnonzero(counts)
    return pa.RecordBatch.from_arrays([pa.array(buckets), pa.array(counts[buckets])], schema=COUNTS)


def count_texts(texts: Iterable[bytes]) -> Integers:
    """The same for texts as UTF-8, as an array over all buckets."""
    counts = np.zeros(BUCKETS, np.int64)
    for text in texts:
        counts += np.bincount(modulo(word_grams(text), BUCKETS), minlength=BUCKETS)
    return counts


def log_ratios(target: Integers, corpus: Integers) -> Floats:
    """log(target's share / corpus's share) of each bucket, from the counts of both; 0 where the corpus has nothing."""
    shares = corpus / max(1, corpus.sum())
    drawn_near = (target + BUCKETS * shares) / (target.sum() + BUCKETS)
    ratios = np.divide(drawn_near, shares, out=np.ones(BUCKETS), where=corpus > 0)
    logarithms: Floats = np.log(ratios)
    return logarithms


@dataclass(frozen=True, eq=False)
class Weigh:
    """Adds `importance` to a batch with `text`: the mean of `ratios` over its n-grams, 0 where it has none."""

    ratios: Floats

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        values = [self.importance(text.as_buffer()) for text in batch.column("text")]
        return with_columns(batch, importance=pa.array(values, pa.float64()))

    def importance(self, data: bytes) -> float:
        """The importance of one document, from its text as UTF-8."""
        found = self.ratios.take(modulo(word_grams(data), BUCKETS))
        return float(found.sum()) / max(1, len(found))
