"""Where a text repeats what is indexed: which file, line, commit and licence; and whether these may be used.

    repeats = attribute(index, codec, ids, least=24)
    refused = refusals(repeats, allowed)           allowed: a predicate on licence expressions

A repeat is a run of at least `least` tokens that stands in some document as it is. What is short is grammar and habit:
docs/guides/index.md has how much of code that is no copy is found at what length.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repotune.infer.index.folder import Index
from repotune.infer.index.segment import Name, Segment, Source
from repotune.infer.index.sorting import DEPTH, Rows
from repotune.tokenizer.encoding import Codec

_MOST_PLACES = 4096  # looked at for one repeat
_SHOWN = 8


@dataclass(frozen=True)
class Place:
    """A file in which a repeat stands, and the line that it begins in there, from 1."""

    source: Source
    line: int


@dataclass(frozen=True)
class Repeat:
    """`ids[start:stop]` stands in the first of `places`. `files` files, which have these `licences`, have it or an end
    of it that is long enough; `places` are at most 8 of them, those with most of it first."""

    start: int
    stop: int
    files: int
    places: tuple[Place, ...]
    licences: frozenset[str]


def attribute(
    index: Index, codec: Codec, ids: Sequence[int], least: int, besides: Collection[Name] = ()
) -> list[Repeat]:
    """The repeats in `ids`, in order and apart from each other, each as long as it can be from its end.

    `ids` are the codec's, of a completion or of any text; give what stands before a completion along, and it counts.
    `besides` names files (repository and path) that may be repeated, such as the one at hand. Up to 4096 places are
    looked at for a repeat. Raises ValueError for `least` below 1.
    """
    if least < 1:
        raise ValueError(f"a repeat has at least one token, not {least}")
    walks = [(segment, _walk(segment, ids)) for segment in index.segments]
    repeats: list[Repeat] = []
    stop = len(ids)
    while stop >= least:
        runs = [run for segment, spans in walks for run in _runs(segment, spans[stop], ids[:stop], least, besides)]
        if runs:
            repeats.append(_repeat(codec, stop, runs))
            stop = repeats[-1].start
        else:
            stop -= 1
    return repeats[::-1]


def refusals(repeats: Iterable[Repeat], allowed: Callable[[str], bool]) -> list[Repeat]:
    """The repeats that stand in a file whose licence expression is not `allowed`. Where some files permit what another
    forbids, it is refused: nobody knows which of them had it first."""
    return [repeat for repeat in repeats if not all(map(allowed, repeat.licences))]


@dataclass(frozen=True)
class _Run:
    """The last `length` of some ids are in a document of `segment`, where they end before `place` of its text."""

    segment: Segment
    document: int
    place: int
    length: int


def _walk(segment: Segment, ids: Sequence[int]) -> list[Rows]:
    """The spans behind the first 0, 1, 2, … of `ids`."""
    spans = [segment.everywhere]
    for token in ids:
        spans.append(segment.narrow(spans[-1], token))
    return spans


def _runs(segment: Segment, spans: Rows, ids: Sequence[int], least: int, besides: Collection[Name]) -> list[_Run]:
    """The longest run of at least `least` of the last of `ids` in each document of a segment that has one."""
    length = min(least, DEPTH)
    if spans.shape[1] <= length:
        return []
    low, high = (int(row) for row in spans[:, length])
    places = segment.order[low : high : -(-(high - low) // _MOST_PLACES)].astype(np.int64)
    lengths = _extended(segment, places, ids, length)
    found: dict[int, _Run] = {}
    for place, shared in zip(places.tolist(), lengths.tolist(), strict=True):
        number = segment.document_at(place - 1)
        if shared >= least and number not in segment.removed and shared > getattr(found.get(number), "length", 0):
            found[number] = _Run(segment, number, place, shared)
    return [run for number, run in found.items() if not besides or segment.source(number).name not in besides]


def _extended(segment: Segment, places: NDArray[np.int64], ids: Sequence[int], length: int) -> NDArray[np.int64]:
    """How many of the last of `ids` stand before each of `places`, where at least `length` do."""
    lengths = np.full(len(places), length)
    open_ = np.arange(len(places))
    for more in range(length + 1, len(ids) + 1):
        token = ids[-more]
        if token == segment.separator or not open_.size:
            break
        open_ = open_[segment.text[places[open_] - more] == token]
        lengths[open_] = more
    return lengths


def _repeat(codec: Codec, stop: int, runs: Sequence[_Run]) -> Repeat:
    runs = sorted(runs, key=lambda run: -run.length)
    licences = {run.segment.source(run.document).licence for run in runs}
    places = tuple(_place(codec, run) for run in runs[:_SHOWN])
    return Repeat(stop - runs[0].length, stop, len(runs), places, frozenset(licences))


def _place(codec: Codec, run: _Run) -> Place:
    before = run.segment.text[run.segment.starts[run.document] : run.place - run.length]
    line = codec.decode_bytes(before.tolist()).count(b"\n") + 1
    return Place(run.segment.source(run.document), line)
