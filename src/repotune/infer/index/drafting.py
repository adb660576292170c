"""Drafts for speculative decoding: what the next tokens will be, if the file or the corpus repeats itself.

    drafter = IndexDrafter(Cursor(index, codec.special))
    drafter.begin(ids)
    tokens = drafter.propose(most=8)

The engine checks all of them in one pass and keeps those that it would have written, so greedy output stays as it is
(Leviathan et al. 2023). They are looked up rather than computed: in the file at hand (prompt look-up: Saxena 2023) and
in the index (REST: He et al. 2024). The longer context is believed; places that disagree vote, token by token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from repotune.infer.index.cursor import Cursor

LEAST = 0.25
"""A draft ends where it is less likely than this to be kept as a whole."""
_PLACES = 32  # that vote
_FARTHER = 3
"""Tokens that a context in the index must be longer to be as good as one in the file at hand. With the demo's model, of
first tokens that places agree on, those after contexts of 2, 4, 8 and 12 tokens in the file are kept in 57, 76, 88 and
93 of 100 cases, those after 4, 6, 8 and 12 tokens in the index in 30, 51, 75 and 89."""


class Drafter(Protocol):
    """What proposes drafts."""

    def begin(self, ids: Sequence[int]) -> None:
        """Makes `ids` the sequence."""

    def push(self, token: int) -> None:
        """Appends a token to the sequence."""

    def rewind(self, count: int) -> None:
        """Takes the last `count` tokens back."""

    def propose(self, most: int) -> list[int]:
        """Up to `most` tokens that may come next; none where nothing is known."""

    def open_file(self, before: Sequence[int], behind: Sequence[int]) -> None:
        """Sets what stands before and behind the cursor in the file at hand."""

    def another(self) -> Drafter:
        """One for another sequence."""


@dataclass(frozen=True)
class Draft:
    """Tokens that may come next, and how likely they are to be kept, all up to each of them."""

    tokens: tuple[int, ...]
    confidence: tuple[float, ...]


class IndexDrafter:
    """A Drafter that looks where `cursor` stands: in the file at hand and, where it has one, in an index."""

    def __init__(self, cursor: Cursor, least: float = LEAST) -> None:
        """`least`: a draft ends where it is less likely than this to be kept so far."""
        self.cursor = cursor
        self._least = least

    def begin(self, ids: Sequence[int]) -> None:
        """See `Drafter.begin`."""
        self.cursor.move_to(ids)

    def push(self, token: int) -> None:
        """See `Drafter.push`."""
        self.cursor.push(token)

    def rewind(self, count: int) -> None:
        """See `Drafter.rewind`."""
        self.cursor.rewind(count)

    def propose(self, most: int) -> list[int]:
        """See `Drafter.propose`."""
        return list(self.draft(most).tokens)

    def open_file(self, before: Sequence[int], behind: Sequence[int]) -> None:
        """See `Drafter.open_file`."""
        self.cursor.open_file(before, behind)

    def another(self) -> IndexDrafter:
        """See `Drafter.another`. It has no file open."""
        return IndexDrafter(self.cursor.another(), self._least)

    def draft(self, most: int) -> Draft:
        """Up to `most` tokens from where the cursor stands."""
        length, rows = self._candidates(most)
        tokens: list[int] = []
        confidence: list[float] = []
        likely = 1.0
        while rows and len(tokens) < most:
            place = len(tokens)
            token, votes = _most_common([row[place] for row in rows])
            likely *= trust(length + place) * votes / len(rows)
            if token < 0 or likely < self._least:
                break
            tokens.append(token)
            confidence.append(likely)
            if votes < len(rows):
                rows = [row for row in rows if row[place] == token]
        return Draft(tuple(tokens), tuple(confidence))

    def _candidates(self, most: int) -> tuple[int, list[list[int]]]:
        """What the longest context that occurs is worth, in tokens of the file at hand, and the `most` tokens behind
        each place where it does, −1 beyond what is code."""
        follows, shared = self.cursor.own_places()
        near = int(shared.max(initial=0))
        if near and near >= self.cursor.reach - _FARTHER:
            places = follows[shared == near][: -_PLACES - 1 : -1]
            return near, self.cursor.own_texts(places, most).tolist()
        far, found = self.cursor.places(_PLACES)
        return far - _FARTHER, [row for segment, places in found for row in segment.texts(places, most).tolist()]


def trust(length: int) -> float:
    """How likely a token is kept that all places agree on after a context worth `length` tokens."""
    return max(0, length) / (max(0, length) + 1.5)


def _most_common(tokens: list[int]) -> tuple[int, int]:
    """The token that is there most often, of several the first, and how often: in the file at hand the first is the
    latest place's."""
    if tokens.count(tokens[0]) == len(tokens):
        return tokens[0], len(tokens)
    return Counter(tokens).most_common(1)[0]
