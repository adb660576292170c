"""Infilling items from held-out files: a hole, what stands around it, and what stood in it.

Kinds are those of `lines` and of `syntax`. Files take turns, languages in proportion to their files; the same seed
gives the same items. In a file that was changed after everything trained on, the lines added since come first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from repotune.evaluate.own_code.held_out import HeldOut, number
from repotune.evaluate.own_code.lines import Lines, Span
from repotune.evaluate.own_code.syntax import Nodes, SyntaxKind

LineKind = Literal["rest", "line", "block", "nothing"]
Kind = LineKind | SyntaxKind
KINDS: tuple[Kind, ...] = ("rest", "line", "block", "body", "arguments", "imports", "nothing")

CONTEXT_CHARACTERS = 16_000  # kept on either side: more than any prompt has room for

LaterLines = Mapping[str, Collection[int]]
"""By the name of a file, which of its lines (from 0) are later than everything trained on."""


@dataclass(frozen=True)
class Item:
    """`file.text` is prefix + expected + suffix, the outer two cut to CONTEXT_CHARACTERS.

    `later` says that all of the hole's lines were added after everything trained on.
    """

    kind: Kind
    file: HeldOut
    prefix: str
    suffix: str
    expected: str
    later: bool = False


def draw_items(
    files: Sequence[HeldOut], kinds: Sequence[Kind], count: int, seed: int, later: LaterLines | None = None
) -> list[Item]:
    """Up to `count` items of each of `kinds`, with different holes; fewer where the files hold no more."""
    sources = [_Source(file, (later or {}).get(file.name, ())) for file in _in_turns(files, seed)]
    return [item for kind in kinds for item in _draw(sources, kind, count, seed)]


def _draw(sources: Sequence[_Source], kind: Kind, count: int, seed: int) -> list[Item]:
    items: list[Item] = []
    waiting = [source.items(kind, seed) for source in sources]
    while waiting and len(items) < count:
        left = []
        for turn in waiting:
            item = next(turn, None)
            if item is not None:
                items.append(item)
                left.append(turn)
            if len(items) == count:
                break
        waiting = left
    return items


class _Source:
    """A held-out file, taken apart when the first item is drawn from it."""

    def __init__(self, file: HeldOut, later: Collection[int]) -> None:
        self._file, self._later = file, later

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self._file.text, self._file.language, self._nodes.prose())

    @cached_property
    def _nodes(self) -> Nodes:
        return Nodes(self._file.text, self._file.language)

    def items(self, kind: Kind, seed: int) -> Iterator[Item]:
        """All of a kind in an order that the seed decides, later ones first."""
        held_back = []
        for hole in self._holes(kind, seed):
            item = self._item(kind, *hole)
            if item.later or not self._later:
                yield item
            else:
                held_back.append(item)
        yield from held_back

    def _holes(self, kind: Kind, seed: int) -> Iterator[Span]:
        chosen = number(seed, kind, self._file.name)
        lines, tree = self._lines, self._nodes
        if kind == "body" or kind == "arguments" or kind == "imports":
            nodes = tree.of(kind)
            found = (tree.hole(kind, nodes[place]) for place in permuted(len(nodes), chosen))
        else:
            make = {"rest": lines.rest, "line": lines.line, "block": lines.block, "nothing": lines.nothing}[kind]
            found = (make(place, number(chosen, place)) for place in permuted(len(lines), chosen))
        yield from (hole for hole in found if hole is not None)

    def _item(self, kind: Kind, start: int, stop: int) -> Item:
        text = self._file.text
        prefix, suffix = text[max(0, start - CONTEXT_CHARACTERS) : start], text[stop : stop + CONTEXT_CHARACTERS]
        return Item(kind, self._file, prefix, suffix, text[start:stop], self._is_later(start, stop))

    def _is_later(self, start: int, stop: int) -> bool:
        if not self._later:
            return False
        # A hole that begins at a line's end, as behind an opening bracket, is about the lines after it.
        start += self._file.text[start:stop].startswith("\n")
        first = self._file.text.count("\n", 0, start)
        return all(line in self._later for line in range(first, first + 1 + self._file.text.count("\n", start, stop)))


def permuted(count: int, chosen: int) -> Iterator[int]:
    """0 to count − 1, each once, from a place that `chosen` decides on in steps of the golden section: what is taken
    early lies far apart, however much is taken."""
    if not count:
        return
    step = round(count * (math.sqrt(5) - 1) / 2) or 1
    while math.gcd(step, count) != 1:
        step += 1
    for turn in range(count):
        yield (chosen + turn * step) % count


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
