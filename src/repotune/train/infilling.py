"""What the network sees of a document: whole, or in pieces with a part moved to the end to be filled in.

    header(path) + body + [end]        body = the code, or one of
    PSM  <fim_prefix> prefix <fim_suffix> suffix <fim_middle> middle
    SPM  <fim_prefix> <fim_suffix> suffix <fim_middle> prefix middle         (Bavarian et al. 2022, variant 2)

All of it is a pure function of (seed, epoch, document). Holes are made in characters before encoding, so that the
model learns to go on from within a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore

# Room in a row for a header and the special tokens around a piece.
_OVERHEAD = 24
# Pieces are between this share of a row and a whole row long, evenly in the logarithm: prompts come in all lengths.
_SHORTEST_PIECE = 1 / 4
# The share of holes that end where a line ends, as a person's do; the others lie between any two characters.
_LINE_HOLES = 0.5
_MOST_FURTHER_LINES = 5


@dataclass(frozen=True)
class Rendering:
    """How documents become what the network sees. `sequence` is the length of its rows, in tokens."""

    codec: Codec
    sequence: int
    infilling_rate: float
    seed: int

    def render(self, store: TokenStore, document: int, epoch: int) -> list[int]:
        """The ids of one document in one epoch.

        A document longer than a row is cut into pieces that fit one, since a hole is learnt from what is in view with
        it (context-level infilling, Bavarian et al. 2022). An infilled piece has its own header and end, as a prompt
        has that is trimmed around a cursor; what lies between stays together and ends only where the document ends.
        """
        rng = np.random.default_rng((self.seed, epoch, document))
        ids, path = store.document(document), store.path(document)
        if self.infilling_rate == 0:
            return [*self._header(rng, path), *ids.tolist(), self.codec.end]
        text = self.codec.decode(ids.tolist())
        result: list[int] = []
        plain_from = 0
        for start, stop in _pieces(rng, text, len(ids), self.sequence - _OVERHEAD):
            if rng.random() < self.infilling_rate:
                if plain_from < start:
                    result += self._header(rng, path) + self.codec.encode(text[plain_from:start])
                result += self._header(rng, path) + self._infilled(rng, text[start:stop])
                plain_from = stop
        if plain_from < len(text) or not text:
            body = ids.tolist() if plain_from == 0 else self.codec.encode(text[plain_from:])
            result += [*self._header(rng, path), *body, self.codec.end]
        return result

    def _header(self, rng: np.random.Generator, path: str) -> list[int]:
        """With the path in half of the cases, so that the model does with and without."""
        return self.codec.header(path if rng.random() < 0.5 else "")

    def _infilled(self, rng: np.random.Generator, text: str) -> list[int]:
        codec = self.codec
        start, stop = _hole(rng, text)
        prefix, middle, suffix = (codec.encode(part) for part in (text[:start], text[start:stop], text[stop:]))
        if rng.random() < 0.5:
            shown = [codec.fim_prefix, *prefix, codec.fim_suffix, *suffix, codec.fim_middle]
        else:
            shown = [codec.fim_prefix, codec.fim_suffix, *suffix, codec.fim_middle, *prefix]
        return [*shown, *middle, codec.end]


def _pieces(rng: np.random.Generator, text: str, tokens: int, room: int) -> Iterator[tuple[int, int]]:
    """Start and end, in characters, of pieces of at most about `room` tokens, each up to a line's end where there is
    one. A text that fits is one piece."""
    if tokens <= room:
        yield 0, len(text)
        return
    longest = max(1.0, room * len(text) / tokens)
    start = 0
    while start < len(text):
        limit = start + max(1, int(longest * _SHORTEST_PIECE ** rng.random()))
        stop = len(text) if limit >= len(text) else text.rfind("\n", start, limit) + 1 or limit
        yield start, stop
        start = stop


def _hole(rng: np.random.Generator, text: str) -> tuple[int, int]:
    """Start and end, in characters, of the part to be filled in."""
    start = int(rng.integers(len(text) + 1))
    if rng.random() >= _LINE_HOLES:
        other = int(rng.integers(len(text) + 1))
        return min(start, other), max(start, other)
    further_lines = int(rng.integers(_MOST_FURTHER_LINES + 1)) if rng.random() < 0.5 else 0
    stop = start - 1
    for _ in range(1 + further_lines):
        stop = text.find("\n", stop + 1)
        if stop < 0:
            return start, len(text)
    return start, stop
