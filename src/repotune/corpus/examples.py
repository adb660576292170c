"""What a team's own examples decide: which documents are good enough, and how often the others are seen.

Quality is measured document by document. Importance is relative to the corpus, so it is measured once the training
documents are known, in two passes over them: one counts n-grams, one weighs. Validation and test are never weighted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from repotune.core.flow import Work
from repotune.core.settings import CorpusSettings
from repotune.corpus.engines import Engine
from repotune.corpus.engines.steps import Only
from repotune.corpus.importance import BUCKETS, Weigh, count, count_texts, log_ratios
from repotune.corpus.logistic import Integers
from repotune.corpus.mixture import Limited, limited, sampling_keys
from repotune.corpus.quality import Score, train_quality, write_model
from repotune.corpus.rows import with_columns
from repotune.corpus.samples import named_samples

_CHANCE = 0.6  # an AUC below which samples are hardly told apart
_BINS = 1000  # of importance, a unit: its logarithm of odds moves by a hundredth from one to the next

# Of equal quality no document goes without the other.
_WORST = """
WITH ranked AS (
    SELECT d.quality, sum(d.size) OVER (ORDER BY d.quality DESC, d.document) - d.size AS before,
           sum(d.size) OVER () AS total
    FROM documents AS d LEFT JOIN repeated ON d.document = repeated.document WHERE repeated.document IS NULL
)
SELECT min(quality) AS least FROM ranked WHERE before < {share} * total
"""
_DROPPED_WORST = """
SELECT d.document, d.repository, d.path, 'quality' AS rule, {shown} AS value, '{limit}' AS threshold, d.size
FROM documents AS d LEFT JOIN repeated ON d.document = repeated.document
WHERE repeated.document IS NULL AND d.quality < CAST('{least!r}' AS DOUBLE)
"""
_DROPPED_UNDRAWN = """
WITH ranked AS (
    SELECT *, sum(size) OVER (ORDER BY sampling_key DESC, draw, document) - size AS before, sum(size) OVER () AS total
    FROM weighed
)
SELECT document, repository, path, 'importance' AS rule, {shown} AS value, '{limit}' AS threshold, size FROM ranked
WHERE before >= {share} * total
"""
_COUNTS = "SELECT bucket, CAST(sum(count) AS BIGINT) AS count FROM grams GROUP BY bucket"
_HISTOGRAM = """
SELECT CAST(floor(importance * {bins}) AS BIGINT) AS bin, CAST(sum(size) AS BIGINT) AS size
FROM weighed GROUP BY CAST(floor(importance * {bins}) AS BIGINT) ORDER BY bin
"""
# Both engines show a double in their own way, but cut numbers alike.
_SHOWN = """
concat(CASE WHEN {column} < 0 THEN '-' ELSE '' END, CAST(CAST(floor(abs({column})) AS BIGINT) AS STRING), '.',
       lpad(CAST(CAST(floor((abs({column}) - floor(abs({column}))) * 10000) AS BIGINT) AS STRING), 4, '0'))
"""


def learn_quality(work: Work, settings: CorpusSettings, root: Path) -> Score | None:
    """Learns the quality model, where there are examples, and writes it into `work.folder`. Returns its step."""
    if not settings.quality.good:
        return None
    samples = named_samples(settings, root)
    model, held = train_quality(samples["corpus.quality.good"].texts(), samples["corpus.quality.bad"].texts())
    write_model(work.folder, model, held)
    said = f"of held-out samples {held.accuracy:.1%} are told, AUC {held.auc:.3f}"
    work.console.say(f"  quality: learnt from {held.good} good and {held.bad} bad samples; {said}")
    if held.auc < _CHANCE:
        work.console.warn("the good and the bad samples are hardly told apart, so quality means little")
    return Score(model, settings.quality.threshold)


def drop_worst(engine: Engine, share: float) -> None:
    """Makes `dropped_worst` (rows of DROPPED, and document): those without which `share` of the bytes are left, of the
    highest quality."""
    least = engine.collect(_WORST.format(share=share))["least"][0].as_py() or 0.0
    limit = f"at least {least:.4f}, where the best {share:g} of the text ends"
    engine.sql(
        "dropped_worst", _DROPPED_WORST.format(shown=_SHOWN.format(column="d.quality"), limit=limit, least=least)
    )


def weigh(work: Work, engine: Engine, training: str, settings: CorpusSettings, root: Path) -> Limited | None:
    """Makes `weighed` (document, importance, …) of the documents in table `training`, and `dropped_undrawn` (rows of
    DROPPED, and document) where only a share is kept. Returns how the others are weighted, if they are."""
    target = named_samples(settings, root)["corpus.importance.target"].texts()
    engine.map("grams", "documents", [count], "counting", among=training)
    ratios = log_ratios(count_texts(target), _total(engine.collect(_COUNTS)))
    measured = ("document", "repository", "path", "size", "draw", "importance", "sampling_key")
    engine.map("weighed", "documents", [Weigh(ratios), key, Only(measured)], "weighing", among=training)
    work.console.say(f"  importance: measured against {len(target)} files of the target")
    if (share := settings.importance.keep) is not None:
        shown, limit = _SHOWN.format(column="importance"), f"drawn among {share:g} of the text"
        engine.sql("dropped_undrawn", _DROPPED_UNDRAWN.format(shown=shown, limit=limit, share=share))
    if settings.importance.most is None:
        return None
    bins = engine.collect(_HISTOGRAM.format(bins=f"{_BINS}.0"))
    importance = (bins["bin"].to_numpy() + 0.5) / _BINS
    return limited(importance, bins["size"].to_numpy().astype(np.float64), settings.importance.most)


def key(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Adds `sampling_key`, by which documents are drawn, to a batch with `importance` and `draw`."""
    keys = sampling_keys(batch.column("importance").to_numpy(), batch.column("draw").to_numpy())
    return with_columns(batch, sampling_key=pa.array(keys, pa.float64()))


def _total(counts: pa.Table) -> Integers:
    summed = np.zeros(BUCKETS, np.int64)
    summed[counts["bucket"].to_numpy()] = counts["count"].to_numpy()
    return summed
