"""Infilling items from held-out files: a hole, what stands around it, and what stood in it.

    line     the rest of a line from a random place in it, its beginning included
    block    2 to 8 consecutive lines at one level of indentation

A place is where a word or a run of punctuation begins, before the blanks that lead to it: never inside a word and
never after a blank, so that no contestant is hurt by how the tokenizer splits there. Holes hold a word and are not
comments alone. Files take turns, languages in proportion to their files; the same seed gives the same items.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from repotune.tokenizer.documents import read_columns

Kind = Literal["line", "block"]
KINDS: tuple[Kind, ...] = ("line", "block")

CONTEXT_CHARACTERS = 16_000  # kept on either side: more than any prompt has room for
LONGEST_LINE = 160  # characters; longer ones are data or generated
BLOCK_LINES = range(2, 9)
_TRIES = 8  # places looked at in one turn of a file before it is passed over

_PLACE = re.compile(r"\s*(?:\w+|[^\w\s]+)")
_WORD = re.compile(r"\w")
_COMMENT = re.compile(r"\s*(?://|/\*|\*(?=\s|/|$)|<!--|--\s|;;|\"\"\"|''')")
_HASH_COMMENT = re.compile(r"\s*#")
_HASH_IS_CODE = frozenset({"C", "C++", "C#", "CUDA", "Objective-C", "CSS", "SCSS", "Less", "Rust", "Markdown", "HTML"})


@dataclass(frozen=True)
class HeldOut:
    """A file of the test split."""

    text: str
    path: str
    language: str
    repository: str

    @property
    def name(self) -> str:
        """What tells the file from all others: the cluster of its items."""
        return f"{self.repository}/{self.path}"


@dataclass(frozen=True)
class Item:
    """`file.text` is prefix + expected + suffix, the outer two cut to CONTEXT_CHARACTERS."""

    kind: Kind
    file: HeldOut
    prefix: str
    suffix: str
    expected: str


def read_held_out(corpus: Path) -> list[HeldOut]:
    """The test split, in its own order. Raises UserError where it is absent or damaged."""
    batches = read_columns(corpus, "test", "text", "path", "language", "repository")
    return [HeldOut(*row) for batch in batches for row in zip(*batch, strict=True)]


def draw_items(files: Sequence[HeldOut], kind: Kind, count: int, seed: int) -> list[Item]:
    """Up to `count` items with different holes; fewer where the files hold no more."""
    items: list[Item] = []
    turns = _in_turns(files, seed)
    taken: set[tuple[str, int]] = set()
    turn = 0
    while turns and len(items) < count:
        left = []
        for file in turns:
            hole = _draw_hole(file, kind, (seed, kind, turn), taken)
            if hole is None:
                continue
            left.append(file)
            taken.add((file.name, hole[0]))
            items.append(_item(kind, file, *hole))
            if len(items) == count:
                break
        turns, turn = left, turn + 1
    return items


def is_code(text: str, language: str) -> bool:
    """Whether `text`, a line or the rest of one, says something: it holds a word and is no comment alone."""
    if not _WORD.search(text) or _COMMENT.match(text):
        return False
    return language in _HASH_IS_CODE or not _HASH_COMMENT.match(text)


def _item(kind: Kind, file: HeldOut, start: int, stop: int) -> Item:
    prefix = file.text[max(0, start - CONTEXT_CHARACTERS) : start]
    return Item(kind, file, prefix, file.text[stop : stop + CONTEXT_CHARACTERS], file.text[start:stop])


def _in_turns(files: Sequence[HeldOut], seed: int) -> list[HeldOut]:
    """Every file once, shuffled, each language spread evenly over the whole."""
    shuffled = sorted(files, key=lambda file: (number(seed, file.name), file.name))
    total = Counter(file.language for file in files)
    seen: Counter[str] = Counter()
    places = []
    for file in shuffled:
        places.append((seen[file.language] + 0.5) / total[file.language])
        seen[file.language] += 1
    return [shuffled[i] for i in sorted(range(len(shuffled)), key=lambda i: places[i])]


def _draw_hole(
    file: HeldOut, kind: Kind, key: tuple[int, str, int], taken: set[tuple[str, int]]
) -> tuple[int, int] | None:
    """Start and stop of a hole whose start is not taken; None where none is found in a few tries."""
    spans = [(start, stop) for start, stop in _lines(file.text) if stop - start <= LONGEST_LINE]
    spans = [(start, stop) for start, stop in spans if is_code(file.text[start:stop], file.language)]
    if not spans:
        return None
    for attempt in range(_TRIES):
        chosen = number(*key, file.name, attempt)
        place, rest = chosen % len(spans), chosen // len(spans)
        hole = _rest_of_line(file, spans[place], rest) if kind == "line" else _block(file, spans, place, rest)
        if hole is not None and (file.name, hole[0]) not in taken:
            return hole
    return None


def _rest_of_line(file: HeldOut, line: tuple[int, int], chosen: int) -> tuple[int, int] | None:
    start, stop = line
    places = [match.start() for match in _PLACE.finditer(file.text, start, stop)]
    at = places[chosen % len(places)]
    return (at, stop) if is_code(file.text[at:stop], file.language) else None


def _block(file: HeldOut, spans: Sequence[tuple[int, int]], place: int, chosen: int) -> tuple[int, int] | None:
    """Lines of code from `place` on that follow each other at one indentation: as many as chosen, or as there are."""
    wanted = BLOCK_LINES[chosen % len(BLOCK_LINES)]
    level = _indentation(file.text, *spans[place])
    last = place
    while (
        last - place + 1 < wanted
        and last + 1 < len(spans)
        and spans[last + 1][0] == spans[last][1] + 1
        and _indentation(file.text, *spans[last + 1]) == level
    ):
        last += 1
    return (spans[place][0], spans[last][1]) if last > place else None


def _indentation(text: str, start: int, stop: int) -> str:
    line = text[start:stop]
    return line[: len(line) - len(line.lstrip())]


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Start and stop of every line, its line end left out."""
    start = 0
    while start < len(text):
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        yield start, stop
        start = stop + 1


def number(*key: object) -> int:
    """A number that only `key` decides: a random generator's stream may change between versions, a hash does not."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big")
