"""The step that gives each document its licence, and drops what the project's policy refuses."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from repotune.corpus.licences.detection import own_licences
from repotune.corpus.licences.expressions import conjunction
from repotune.corpus.licences.policy import Policy
from repotune.corpus.rows import with_columns, with_reasons


@dataclass(frozen=True)
class Licence:
    """Adds `licence` to a batch with `text` and `folder_licences`, and drops what the policy refuses.

    What the repository states and what the file says of itself apply together, the cautious reading: a tag may grant
    more than the repository does, and a notice less.
    """

    policy: Policy

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = batch.column("text").to_pylist(), batch.column("folder_licences").to_pylist()
        found = [conjunction([*folder, *own_licences(text)]) for text, folder in zip(*columns, strict=True)]
        batch = with_columns(batch.drop_columns("folder_licences"), licence=pa.array(found, pa.string()))
        refusals = [self.policy.refusal(licence) for licence in found]
        return with_reasons(
            batch,
            [
                ("licence", licence, refusal) if refusal else None
                for licence, refusal in zip(found, refusals, strict=True)
            ],
        )
