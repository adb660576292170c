"""What models with different vocabularies are asked to predict: the very same bytes.

A passage begins where a line does, and a hole begins and ends where its file was cut, so that every vocabulary encodes
just these bytes, whatever its tokens; bits per byte then compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from repotune.evaluate.comparison.contestants import Contestant
from repotune.evaluate.completions import item_prompt
from repotune.evaluate.likelihood import even_share, header_ids
from repotune.evaluate.ngram import Passage
from repotune.evaluate.own_code.held_out import HeldOut, number
from repotune.evaluate.own_code.items import Item


@dataclass(frozen=True)
class Stretch:
    """The characters of `file` from `start` to `stop`, which everyone is to predict from all before them."""

    file: HeldOut
    start: int
    stop: int

    @property
    def bytes(self) -> int:
        return len(self.file.text[self.start : self.stop].encode())


def cut_stretches(files: Sequence[HeldOut], most_bytes: int, seed: int) -> list[Stretch]:
    """One of each file that says something, together about `most_bytes`: short files whole, of longer ones a piece
    where `seed` decides."""
    share = even_share([len(file.text.encode()) for file in files], most_bytes)
    return [
        Stretch(file, *_stretch(file.text, share, number(seed, "likelihood", file.name))) for file in files if file.text
    ]


def _stretch(text: str, share: int, chosen: int) -> tuple[int, int]:
    size = len(text.encode())
    if size <= share:
        return 0, len(text)
    length = max(2, len(text) * share // size)
    start = chosen % max(1, len(text) - length + 1)
    # From the next line on, and to the end of one, where the stretch holds such: a minified file is one line.
    start = text.find("\n", start, start + length // 2) + 1 or start
    return start, text.rfind("\n", start, start + length) + 1 or min(len(text), start + length)


def stretch_passage(contestant: Contestant, stretch: Stretch) -> tuple[Passage, int]:
    """The stretch in the contestant's ids, and how many of them are the header."""
    codec, text = contestant.codec, stretch.file.text
    header = header_ids(codec, stretch.file.path, contestant.context)
    before = [*header, *codec.encode(text[: stretch.start])]
    ids = before + codec.encode(text[stretch.start : stretch.stop])
    return Passage(np.array(ids), len(before), len(ids)), len(header)


def shared_hole(contestants: Sequence[Contestant], item: Item) -> str:
    """As much of what stood in the hole as takes nobody more than half a context."""
    text = item.expected
    while text:
        lengths = [_fitting(contestant, text) for contestant in contestants]
        if min(lengths) == len(text):
            break
        text = text[: min(lengths)]
    return text


def _fitting(contestant: Contestant, text: str) -> int:
    """How many characters of `text` are in the tokens that fit into half a context."""
    codec, most = contestant.codec, contestant.context // 2
    ids = codec.encode(text)
    if len(ids) <= most:
        return len(text)
    return min(len(text) - 1, len(codec.decode_bytes(ids[:most]).decode(errors="ignore")))


def hole_passage(contestant: Contestant, item: Item, hole: str) -> tuple[Passage, int]:
    """`hole` after the prompt that asks for `item`, in the contestant's ids, and the length of that prompt."""
    prompt = item_prompt(contestant.codec, replace(item, expected=hole), contestant.context)
    ids = prompt + contestant.codec.encode(hole)
    return Passage(np.array(ids), len(prompt), len(ids)), len(prompt)
