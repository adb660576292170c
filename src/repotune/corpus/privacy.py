"""What becomes of secrets and personal data in the corpus: replaced by placeholders, a reason to drop, or kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from repotune.core.settings import CorpusSettings
from repotune.corpus.personal import FindPersonal
from repotune.corpus.redaction import Find, redact
from repotune.corpus.rows import from_utf8, to_utf8, with_columns, with_reasons
from repotune.corpus.secrets.finding import find_secrets

COUNTS = pa.map_(pa.string(), pa.int64())
"""The type of the column `replaced`: kinds of placeholders, and how many of each were put into the text."""

Reason = tuple[str, str, str]


@dataclass(frozen=True)
class Pass:
    """What is looked for, and what becomes of a document that holds it: replaced, or dropped under the name `rule`."""

    find: Find
    rule: str
    action: Literal["replace", "drop", "keep"]


@dataclass(frozen=True)
class Redact:
    """Takes each text of a batch through `passes`, and adds the column `replaced` (COUNTS)."""

    passes: Sequence[Pass]

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts: list[bytes] = []
        counts: list[list[tuple[str, int]]] = []
        reasons: list[Reason | None] = []
        columns = (batch.column(name).to_pylist() for name in ("path", "language"))
        for before, path, language in zip(to_utf8(batch.column("text")), *columns, strict=True):
            after, replaced, reason = self._document(before, path, language)
            texts.append(after)
            counts.append(sorted(replaced.items()))
            reasons.append(reason)
        batch = with_columns(batch, text=from_utf8(texts), replaced=pa.array(counts, COUNTS))
        return with_reasons(batch, reasons)

    def _document(self, data: bytes, path: str, language: str) -> tuple[bytes, Counter[str], Reason | None]:
        """The text without what the passes look for, what was replaced, and why the document is dropped, if it is."""
        replaced: Counter[str] = Counter()
        for each in self.passes:
            after, found = redact(data, each.find, path, language)
            if found and each.action == "drop":
                told = ", ".join(f"{kind} {count}" for kind, count in sorted(found.items()))
                return data, replaced, (each.rule, told, "none")
            data = after
            replaced.update(found)
        return data, replaced, None


def redaction(settings: CorpusSettings) -> Redact:
    """The step that `settings` ask for. Secrets come first: a password before `@host` is no e-mail address."""
    asked = (
        Pass(find_secrets, "secret", settings.secrets),
        Pass(FindPersonal(names=settings.author_names == "replace"), "personal_data", settings.personal_data),
    )
    return Redact(tuple(each for each in asked if each.action != "keep"))
