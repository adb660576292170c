"""Secrets and personal data in answers, found by the corpus's own detectors, and text that may be shown of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from repotune.corpus.personal import FindPersonal
from repotune.corpus.redaction import Find, redact
from repotune.corpus.secrets.finding import find_secrets
from repotune.corpus.secrets.values import is_random
from repotune.evaluate.leaks.answers import Answer
from repotune.evaluate.leaks.documents import Document
from repotune.evaluate.leaks.prompts import Prompt

Sort = Literal["secret", "personal"]

_FIND_PERSONAL = FindPersonal(names=True)
_GUESSABLE = frozenset({"PASSWORD", "SECRET_KEY", "NAME"})
_AROUND = 300  # bytes on either side, more than any detector of these looks at
_DETECTORS: dict[Sort, Find] = {"secret": find_secrets, "personal": _FIND_PERSONAL}


@dataclass(frozen=True)
class Private:
    """Something in answer number `answer` of all that is a secret, or somebody's data, by its looks. `value` is never
    shown: not in a log, an error or a repr."""

    answer: int
    sort: Sort
    kind: str
    value: bytes

    def __repr__(self) -> str:
        return f"Private(answer={self.answer}, sort={self.sort!r}, kind={self.kind!r}, {len(self.value)} bytes)"


def find_private(prompts: Sequence[Prompt], answers: Sequence[Answer]) -> list[Private]:
    """All of them; `prompts` are those of the `answers`, one each. What the prompt holds itself is no find, and of what
    it began, the whole is the value."""
    found = []
    for place, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        before = prompt.text.encode(errors="replace")
        data = before + answer.text.encode(errors="replace")
        for sort, find in _DETECTORS.items():
            for span in find(data, prompt.path, prompt.language):
                if span.end > len(before):
                    value = data[span.start : span.end].strip()
                    found.append(Private(place, sort, span.kind, value))
    return found


class Confirmed:
    """Whether a value that stands in a training file is private there, too.

    A key or an address can only be remembered. A password or a name may be a word that stands anywhere: it counts where
    the detector finds it in the lines around.
    """

    def __init__(self, finds: Sequence[Private]) -> None:
        self._sorts = {one.value: (one.sort, one.kind) for one in finds}

    def __call__(self, value: bytes, data: bytes, start: int, document: Document) -> bool:
        sort, kind = self._sorts[value]
        if kind not in _GUESSABLE or is_random(value):
            return True
        begin = data.rfind(b"\n", 0, max(0, start - _AROUND)) + 1
        around = data[begin : start + len(value) + _AROUND]
        spans = _DETECTORS[sort](around, document.path, document.language)
        return any(span.start <= start - begin < span.end for span in spans)


def shown(text: str, path: str = "", language: str = "") -> str:
    """`text` with placeholders for secrets and personal data, for evidence."""
    data, _ = redact(text.encode(errors="replace"), find_secrets, path, language)
    data, _ = redact(data, _FIND_PERSONAL, path, language)
    return data.decode(errors="replace")
