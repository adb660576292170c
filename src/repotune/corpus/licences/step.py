"""The step that gives each document its licence, and drops what the project's policy refuses."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from repotune.corpus.licences.detection import HEAD, own_licences
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
        heads = pc.utf8_slice_codeunits(batch.column("text"), 0, HEAD).to_pylist()
        folders = batch.column("folder_licences").to_pylist()
        parts = [own_licences(head).union(folder) for head, folder in zip(heads, folders, strict=True)]
        # A batch's files have few licences, most of them those of one repository.
        expressions = {each: conjunction(each) for each in set(parts)}
        reasons = {each: self._reason(licence) for each, licence in expressions.items()}
        found = pa.array([expressions[each] for each in parts], pa.string())
        batch = with_columns(batch.drop_columns("folder_licences"), licence=found)
        return with_reasons(batch, [reasons[each] for each in parts])

    def _reason(self, licence: str) -> tuple[str, str, str] | None:
        refusal = self.policy.refusal(licence)
        return ("licence", licence, refusal) if refusal else None
