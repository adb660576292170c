"""What the network sees of a document: pieces that fit a row, plain or with a part moved to the end to be filled in.

    header(path) + body + [end]        body = the code, or one of
    PSM  <fim_prefix> prefix <fim_suffix> suffix <fim_middle> middle
    SPM  <fim_prefix> <fim_suffix> suffix <fim_middle> prefix middle         (Bavarian et al. 2022, variant 2)

A hole is learnt from what is in view with it (context-level infilling, same paper), so a document longer than a row is
cut, and each piece has a header, as a prompt has that is trimmed around a cursor. A plain piece has an end only where
the document ends. All of it is a pure function of (seed, epoch, document); holes are made in characters before
encoding, so that the model learns to go on from within a token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import Tokens, TokenStore

# Room in a row for a header and the special tokens around a piece.
_OVERHEAD = 24
# How far cuts move from epoch to epoch, as a share of a piece: no place is always at an edge.
_JITTER = 0.5
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

    def pieces(self, tokens: int) -> int:
        """How many pieces a document of `tokens` is cut into, the same in every epoch."""
        return max(1, math.ceil(tokens / max(1, self.sequence - _OVERHEAD)))

    def render(self, store: TokenStore, document: int, piece: int, epoch: int) -> list[int]:
        """The ids of the `piece`-th piece of a document in an epoch."""
        ids, path = store.document(document), store.path(document)
        part, last = self._cut(ids, document, piece, epoch)
        rng = np.random.default_rng((self.seed, epoch, document, piece))
        # With the path in half of the cases, so that the model does with and without.
        header = self.codec.header(path if rng.random() < 0.5 else "")
        if rng.random() < self.infilling_rate:
            # A cut may have split a character; such a piece, and they are rare, has no text and stays as it is.
            text = self.codec.decode_bytes(part).decode(errors="ignore")
            if len(text.encode()) == len(self.codec.decode_bytes(part)):
                return [*header, *self._infilled(rng, text), self.codec.end]
        return [*header, *part, self.codec.end] if last else [*header, *part]

    def _cut(self, ids: Tokens, document: int, piece: int, epoch: int) -> tuple[list[int], bool]:
        """The ids of a piece, and whether it is the document's last."""
        count = self.pieces(len(ids))
        rng = np.random.default_rng((self.seed, epoch, document))
        inner = np.arange(1, count) + _JITTER * (rng.random(count - 1) - 0.5)
        cuts = [0, *(inner * len(ids) / count).astype(int).tolist(), len(ids)]
        return ids[cuts[piece] : cuts[piece + 1]].tolist(), piece == count - 1

    def _infilled(self, rng: np.random.Generator, text: str) -> list[int]:
        codec = self.codec
        start, stop = _hole(rng, text)
        prefix, middle, suffix = (codec.encode(part) for part in (text[:start], text[start:stop], text[stop:]))
        if rng.random() < 0.5:
            return [codec.fim_prefix, *prefix, codec.fim_suffix, *suffix, codec.fim_middle, *middle]
        return [codec.fim_prefix, codec.fim_suffix, *suffix, codec.fim_middle, *prefix, *middle]


def _hole(rng: np.random.Generator, text: str) -> tuple[int, int]:
    """Start and end, in characters, of the part to be filled in."""
    start = int(rng.integers(len(text) + 1))
    if rng.random() >= _LINE_HOLES:
        other = int(rng.integers(len(text) + 1))
        return min(start, other), max(start, other)
    further_lines = int(rng.integers(1, _MOST_FURTHER_LINES + 1)) if rng.random() < 0.5 else 0
    stop = start - 1
    for _ in range(1 + further_lines):
        stop = text.find("\n", stop + 1)
        if stop < 0:
            return start, len(text)
    return start, stop
