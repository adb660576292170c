"""What a team's own examples decide: which documents are good enough, and how often the others are seen.

Quality is measured document by document. Importance is relative to the corpus, so it is measured once the training
documents are known, in two passes over them: one counts n-grams, one weighs. Validation and test are never weighted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repotune.core.config import CorpusSettings
from repotune.core.flow import Work
from repotune.corpus.importance import Weigh, count, count_texts, log_ratios, total
from repotune.corpus.mixture import drawn, limited_weights
from repotune.corpus.quality import Score, train_quality, write_model
from repotune.corpus.rows import Dropped, with_columns
from repotune.corpus.samples import named_samples

MEASURED = {"quality": pa.float64(), "importance": pa.float64()}
"""The signals that exist only where a project names examples; null elsewhere."""

_CHANCE = 0.6  # an AUC below which samples are hardly told apart

Documents = Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Weights:
    """The importance of training documents, and the factor that their weight is multiplied by; both by document."""

    importance: Mapping[int, float] = field(default_factory=dict)
    factors: Mapping[int, float] = field(default_factory=dict)

    def apply(self, batch: pa.RecordBatch, split: pa.Array) -> pa.RecordBatch:
        """`batch` with `weight`, 1 for what is not trained on, and with every column of MEASURED."""
        documents = batch.column("document").to_pylist()
        factors = pa.array([self.factors.get(document, 1.0) for document in documents], pa.float64())
        weight = pc.if_else(pc.equal(split, "train"), pc.multiply(batch.column("weight"), factors), 1.0)
        measured = {"importance": [self.importance.get(document) for document in documents]}
        absent = {name: [None] * len(documents) for name in MEASURED if name not in batch.schema.names}
        columns = {name: pa.array(values, MEASURED[name]) for name, values in (absent | measured).items()}
        return with_columns(batch, weight=weight, **columns)


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


def drop_worst(kept: pa.Table, share: float) -> dict[int, Dropped]:
    """The documents, by number, without which `share` of the bytes are left, those of the highest quality.

    `kept` has document, repository, path, size and quality. Of equal quality none goes without the other.
    """
    quality, sizes = kept["quality"].to_numpy(), kept["size"].to_numpy()
    order = np.argsort(-quality, kind="stable")
    within = np.cumsum(sizes[order]) - sizes[order] < share * sizes.sum()
    threshold = float(quality[order][within].min(initial=1.0))
    limit = f"at least {threshold:.4f}, where the best {share:g} of the text ends"
    lost = kept.filter(pc.less(kept["quality"], threshold))
    return _dropped(lost, "quality", limit)


def weigh(
    work: Work, documents: Documents, splits: Mapping[int, str], settings: CorpusSettings, root: Path
) -> tuple[dict[int, Dropped], Weights]:
    """The training documents that are not drawn, by number, and the weights of the others; both by importance.

    `documents` yields batches with document, text, repository, path, size and draw, and is gone through twice.
    """
    if not settings.importance.target:
        return {}, Weights()
    target = named_samples(settings, root)["corpus.importance.target"].texts()
    training = pa.array([document for document, split in splits.items() if split == "train"], pa.int64())

    def texts() -> Iterator[pa.RecordBatch]:
        for batch in documents():
            yield batch.filter(pc.is_in(batch.column("document"), value_set=training))

    step = Weigh(log_ratios(count_texts(target), total(count(batch) for batch in texts())))
    rows = pa.Table.from_batches([step(batch).drop_columns("text") for batch in texts()])
    importance, sizes = rows["importance"].to_numpy(), rows["size"].to_numpy().astype(np.float64)
    by_document = dict(zip(rows["document"].to_pylist(), importance.tolist(), strict=True))
    work.console.say(f"  importance: {len(rows)} training files against {len(target)} of the target")
    lost, factors = {}, {}
    if (share := settings.importance.keep) is not None:
        kept = drawn(importance, rows["draw"].to_numpy(), sizes, share)
        lost = _dropped(rows.filter(pa.array(~kept)), "importance", f"drawn among {share:g} of the text")
    if (most := settings.importance.most) is not None:
        factors = dict(zip(by_document, limited_weights(importance, sizes, most).tolist(), strict=True))
    return lost, Weights(by_document, factors)


def _dropped(lost: pa.Table, signal: str, limit: str) -> dict[int, Dropped]:
    return {
        row["document"]: Dropped(row["repository"], row["path"], signal, f"{row[signal]:.4f}", limit, row["size"])
        for row in lost.select(["document", "repository", "path", "size", signal]).to_pylist()
    }
