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

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import Tokens, TokenStore
from repotune.train.holes import draw_hole
from repotune.train.syntax import draw_syntax_hole

# Room in a row for a header and the special tokens around a piece.
_OVERHEAD = 24
# How far cuts move from epoch to epoch, as a share of a piece: no place is always at an edge.
_JITTER = 0.5
# Of holes that hold nothing: prefix and suffix already meet, and the model learns to say so.
_EMPTY_HOLES = 0.02


@dataclass(frozen=True)
class Rendering:
    """How documents become what the network sees. `sequence` is the length of its rows, in tokens.

    `infilling_rate` of the pieces have a hole; `syntax_share` of the holes are nodes of the syntax tree where the
    document's language has a grammar here. At 0 no parser is needed.
    """

    codec: Codec
    sequence: int
    infilling_rate: float
    seed: int
    syntax_share: float = 0.0

    def pieces(self, tokens: int) -> int:
        """How many pieces a document of `tokens` is cut into, the same in every epoch."""
        return max(1, -(-tokens // self._room))

    def piece_counts(self, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """`pieces` of each of `sizes`."""
        return np.maximum(1, -(-sizes // self._room))

    def render(self, store: TokenStore, document: int, piece: int, epoch: int) -> list[int]:
        """The ids of the `piece`-th piece of a document in an epoch."""
        part, last = self.cut(store.document(document), document, piece, epoch)
        rng = np.random.default_rng((self.seed, epoch, document, piece))
        # With the path in half of the cases, so that the model does with and without.
        header = self.codec.header(store.path(document) if rng.random() < 0.5 else "")
        if rng.random() < self.infilling_rate:
            body = self._infilled(rng, part, store.language(document))
            if body is not None:
                return [*header, *body, self.codec.end]
        return [*header, *part, self.codec.end] if last else [*header, *part]

    def cut(self, ids: Tokens, document: int, piece: int, epoch: int) -> tuple[list[int], bool]:
        """Of a document's `ids` those of a piece, without header and end, and whether it is the document's last."""
        count = self.pieces(len(ids))
        if count == 1:
            return ids.tolist(), True
        moves = _JITTER * (np.random.default_rng((self.seed, epoch, document)).random(count - 1) - 0.5)
        start = int((piece + moves[piece - 1]) * len(ids) / count) if piece else 0
        if piece == count - 1:
            return ids[start:].tolist(), True
        return ids[start : int((piece + 1 + moves[piece]) * len(ids) / count)].tolist(), False

    @property
    def _room(self) -> int:
        return max(1, self.sequence - _OVERHEAD)

    def _infilled(self, rng: np.random.Generator, part: list[int], language: str) -> list[int] | None:
        """The body with a hole, or None where a cut has split a character: such a piece, and they are rare, has no
        text and stays as it is."""
        codec = self.codec
        try:
            text = codec.decode_bytes(part).decode()
        except UnicodeDecodeError:
            return None
        start, stop = self._hole(rng, text, language)
        prefix, middle, suffix = (codec.encode(part) for part in (text[:start], text[start:stop], text[stop:]))
        if rng.random() < 0.5:
            return [codec.fim_prefix, *prefix, codec.fim_suffix, *suffix, codec.fim_middle, *middle]
        return [codec.fim_prefix, codec.fim_suffix, *suffix, codec.fim_middle, *prefix, *middle]

    def _hole(self, rng: np.random.Generator, text: str, language: str) -> tuple[int, int]:
        if rng.random() < _EMPTY_HOLES:
            place = int(rng.integers(len(text) + 1))
            return place, place
        if rng.random() < self.syntax_share:
            return draw_syntax_hole(rng, text, language) or draw_hole(rng, text)
        return draw_hole(rng, text)
