"""What a completion repeats of the code that was trained on: said with it, and withheld where a licence forbids.

Short runs are grammar and habit. What counts as a repeat, in tokens, is `serve.repeat_tokens`; docs/guides/index.md has
how much of code that is no copy is found at what length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from repotune.corpus.licences.expressions import satisfied
from repotune.infer.index.attribution import Repeat, attribute, refusals
from repotune.infer.index.folder import Index
from repotune.tokenizer.encoding import Codec

_BEFORE = 2_000  # characters before a completion that are looked at with it: a repeat may begin there


@dataclass(frozen=True)
class Verdict:
    """What a completion repeats, as JSON objects, and whether it may be shown."""

    repeats: list[dict[str, Any]]
    allowed: bool


class Attribution:
    """Looks completions up in `index`. With `allowed` licences (SPDX ids), what repeats code under any other is
    refused; with none, nothing is."""

    def __init__(self, index: Index, codec: Codec, least: int, allowed: tuple[str, ...]) -> None:
        self._index, self._codec, self._least, self._allowed = index, codec, least, frozenset(allowed)

    @property
    def refuses(self) -> bool:
        """Whether a completion may be refused, so that none of it can be shown before its end."""
        return bool(self._allowed)

    def judge(self, prefix: str, text: str, path: str) -> Verdict:
        """Looks `text` up behind the end of `prefix`. Repeats of the file at `path` itself do not count."""
        before = self._codec.encode(prefix[-_BEFORE:])
        ids = [*before, *self._codec.encode(text)]
        found = [
            repeat
            for repeat in attribute(self._index, self._codec, ids, self._least)
            if repeat.stop > len(before) and any(place.source.path != path for place in repeat.places)
        ]
        refused = refusals(found, self._permits) if self._allowed else []
        return Verdict([_as_json(repeat) for repeat in found], not refused)

    def _permits(self, expression: str) -> bool:
        return satisfied(expression, self._allowed.__contains__)


def _as_json(repeat: Repeat) -> dict[str, Any]:
    places = [
        {
            "repository": place.source.repository,
            "commit": place.source.commit,
            "path": place.source.path,
            "line": place.line,
            "licence": place.source.licence,
        }
        for place in repeat.places
    ]
    return {"tokens": repeat.stop - repeat.start, "files": repeat.files, "places": places}
