"""Token healing: a prompt ends where the cursor stands, which is seldom where the tokenizer would end a token.

After `with open(path) as file` the tokenizer makes one token of colon and line end, so a prompt that ends in a colon
alone is what training shows where a hole ends, and the model ends there. The prompt's last token is therefore taken
back, and what is written first has to spell its bytes (Lundberg and Ribeiro, "The art of prompt design: prompt
boundaries and token healing", 2023).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from repotune.tokenizer.encoding import Codec

Ids = npt.NDArray[np.int64]


class Healing:
    """What a text has still to spell of the token that was taken back from the end of `prompt`.

    A special token is never taken back, nor the only one.
    """

    def __init__(self, codec: Codec, prompt: Sequence[int]) -> None:
        self._codec = codec
        last = prompt[-1] if len(prompt) > 1 else codec.end
        self.begun = b"" if last in codec.special else codec.decode_bytes([last])
        self.prompt = list(prompt[:-1] if self.begun else prompt)

    def candidates(self) -> Ids:
        """The ids that begin with what is begun, or that begin it."""
        return _spellings(self._codec).agreeing(self.begun)

    def take(self, data: bytes) -> bytes:
        """What of a token's bytes goes beyond what was begun."""
        beyond = data[len(self.begun) :]
        self.begun = self.begun[len(data) :]
        return beyond


class _Spellings:
    """The tokens by their bytes, in order."""

    def __init__(self, codec: Codec) -> None:
        plain = (token for token in range(codec.size) if token not in codec.special)
        pairs = sorted((codec.decode_bytes([token]), token) for token in plain)
        self._bytes = [data for data, _ in pairs]
        self._ids = np.array([token for _, token in pairs])

    def agreeing(self, begun: bytes) -> Ids:
        """The ids whose bytes begin with `begun`, and those whose bytes are its beginning."""
        first = bisect_left(self._bytes, begun)
        last = bisect_left(self._bytes, begun + b"\xff" * 256, first)
        shorter = [place for size in range(1, len(begun)) if (place := self._place(begun[:size])) is not None]
        return np.concatenate((self._ids[first:last], self._ids[np.array(shorter, np.int64)]))

    def _place(self, data: bytes) -> int | None:
        place = bisect_left(self._bytes, data)
        return place if place < len(self._bytes) and self._bytes[place] == data else None


@lru_cache(4)
def _spellings(codec: Codec) -> _Spellings:
    return _Spellings(codec)
