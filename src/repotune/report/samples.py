"""Which samples are shown, and how an answer is set beside what was expected.

Of each kind the first that what is judged got exactly and the first misses are taken in the order of a hash of the item
alone, which knows nothing of the answers: nobody picked them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# (kind, how many that came out exactly, how many that did not)
SHOWN = (
    ("rest", 2, 2), ("line", 1, 1), ("block", 1, 2), ("body", 1, 1), ("arguments", 1, 1), ("imports", 1, 1),
    ("nothing", 1, 1),
)  # fmt: skip
RULE = (
    "Of each kind the first few that came out exactly and the first few that did not, in the order of a hash of the "
    "item alone: nobody picked them."
)
_NAMES = {"served": "as served", "model": "model", "model_with_files": "model, with other files", "ngram": "n-gram"}
_KINDS = {
    "rest": "rest of a line",
    "line": "line",
    "block": "block",
    "body": "function body",
    "arguments": "call arguments",
    "imports": "import",
    "nothing": "nothing needed",
}
_LINES_BEFORE, _LINES_AFTER, _WIDEST = 5, 2, 160


@dataclass(frozen=True)
class Answer:
    """What someone wrote: `same` is how far it agrees with what was expected, `rest` the remainder."""

    who: str
    same: str
    rest: str
    score: str


@dataclass(frozen=True)
class Sample:
    """An item as shown: the lines around the hole, what stood in it, and the answers."""

    title: str
    kind: str
    before: str
    after: str
    expected: str
    answers: tuple[Answer, ...]


def choose_samples(samples: Sequence[dict[str, Any]]) -> list[Sample]:
    """The samples to show, kind by kind, exact ones before misses."""
    chosen = []
    for kind, exact, missed in SHOWN:
        ordered = sorted((sample for sample in samples if sample["kind"] == kind), key=_hash)
        hits = [sample for sample in ordered if _is_exact(sample)]
        misses = [sample for sample in ordered if not _is_exact(sample)]
        chosen += hits[:exact] + misses[:missed]
    return [_shown(sample) for sample in chosen]


def _hash(sample: dict[str, Any]) -> str:
    key = repr((sample["path"], sample["prefix"], sample["expected"]))
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def _is_exact(sample: dict[str, Any]) -> bool:
    judged = "served" if "served" in sample["answers"] else "model"
    return bool(sample["scores"][judged]["exact_match"] == 1)


def _shown(sample: dict[str, Any]) -> Sample:
    before = sample["prefix"].split("\n")
    return Sample(
        title=f"{sample['path']} · {sample['language']}",
        kind=_KINDS[sample["kind"]],
        before="\n".join(_narrow(line, end=True) for line in before[-_LINES_BEFORE:]),
        after="\n".join(_narrow(line) for line in sample["suffix"].split("\n")[: _LINES_AFTER + 1]).rstrip(),
        expected=sample["expected"],
        answers=tuple(_answer(sample, who) for who in _NAMES if _is_shown(sample["answers"], who)),
    )


def _is_shown(answers: dict[str, str], who: str) -> bool:
    """Other files are worth a word where they changed the answer."""
    return who in answers and (who != "model_with_files" or answers[who] != answers["model"])


def _answer(sample: dict[str, Any], who: str) -> Answer:
    text, score = sample["answers"][who].rstrip(), sample["scores"][who]
    same = _common_prefix(text, sample["expected"])
    said = "exact" if score["exact_match"] == 1 else f"{100 * score['edit_similarity']:.0f} % alike"
    return Answer(_NAMES[who], text[:same], text[same:], said if text or not sample["expected"] else "nothing written")


def _common_prefix(first: str, second: str) -> int:
    agree = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        agree += 1
    return agree


def _narrow(line: str, end: bool = False) -> str:
    """The side of a very long line that lies next to the hole."""
    if len(line) <= _WIDEST:
        return line
    return "…" + line[-_WIDEST:] if end else line[:_WIDEST] + "…"
