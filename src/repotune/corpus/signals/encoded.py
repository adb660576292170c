"""Data written as text: base64, bytes in hexadecimal, escaped characters.

StarCoder2's three patterns (arXiv 2402.19173, appendix A), and its hexadecimal one also with a blank after the comma,
as `xxd -i` writes it. The patterns over every byte would take as long as all other signals together, so numpy looks
where one can match at all, and the pattern runs there alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from repotune.corpus.signals.signal import Columns, Signal, ratio
from repotune.corpus.signals.spans import Integers, Spans
from repotune.corpus.signals.texts import Texts, member

_SOURCE = "StarCoder2 (arXiv 2402.19173)"

SIGNALS = (
    Signal("longest_encoded", "count", "characters", "longest run of any of the three", _SOURCE),
    Signal("encoded_share", "share", "of characters", "in runs of any of the three", _SOURCE),
    Signal("base64_share", "share", "of characters", "runs of 64 or more signs of base64, over lines", _SOURCE),
    Signal("hex_share", "share", "of characters", "runs of eight or more bytes such as `0x1f,` `\\x1f` `1f`", _SOURCE),
    Signal("escape_share", "share", "of characters", "runs of eight or more `\\u1f2e`", _SOURCE),
)

_BASE64 = re.compile(rb"[a-zA-Z0-9+/\n=]{64,}")
_HEX = re.compile(rb"(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*+)){8,}|(?:\b0x[0-9a-fA-F]{2}\b,?+\s*+){8,}")
_ESCAPES = re.compile(rb"(?:\\u[0-9a-fA-F]{4}){8,}")

_IN_BASE64 = member(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/\n=")
_HEX_DIGIT = member(b"0123456789abcdefABCDEF")
_STRIDE = 4

Region = tuple[int, int]
"""From here to there in the batch's bytes."""


def measure(texts: Texts) -> Columns:
    """The columns of SIGNALS, a value for each document."""
    kinds = [_runs(texts, regions, pattern) for regions, pattern in _candidates(texts)]
    sums = [runs.sum(texts.width(runs.starts, runs.ends)) for runs in kinds]
    return {
        "longest_encoded": np.max([runs.maximum(texts.width(runs.starts, runs.ends)) for runs in kinds], axis=0),
        # Kinds overlap: hexadecimal lines without blanks are base64 too.
        "encoded_share": ratio(np.minimum(np.sum(sums, axis=0), texts.characters), texts.characters),
        **{
            f"{name}_share": ratio(each, texts.characters)
            for name, each in zip(("base64", "hex", "escape"), sums, strict=True)
        },
    }


def _candidates(texts: Texts) -> Iterator[tuple[list[Region], re.Pattern[bytes]]]:
    """Where in the batch each pattern can match, every match within one region."""
    yield _base64_regions(texts), _BASE64
    yield _hex_regions(texts), _HEX
    yield _escape_regions(texts), _ESCAPES


def _base64_regions(texts: Texts) -> list[Region]:
    """64 bytes in a row hold sixteen whose place is a multiple of four."""
    starts, ends = _in_a_row(texts.which(_IN_BASE64, _STRIDE), 16)
    return list(zip((starts * _STRIDE - _STRIDE + 1).tolist(), (ends * _STRIDE).tolist(), strict=True))


def _hex_regions(texts: Texts) -> list[Region]:
    """Eight bytes in a row are eight words in a row such as `1f`, `x1f`, `0x1f`: short, a digit last."""
    words, lengths = texts.words, texts.word_lengths
    possible = (lengths >= 2) & (lengths <= 4) & _HEX_DIGIT.take(texts.data[words.ends - 1], mode="clip")
    first, end = _in_a_row(possible, 8)
    following = np.append(words.starts, len(texts.data))[end]  # white space after the last counts as its own
    return list(zip((words.starts[first] - 1).tolist(), following.tolist(), strict=True))


def _escape_regions(texts: Texts) -> list[Region]:
    """From the first `\\u` to the last of each document that has eight."""
    places = np.flatnonzero((texts.data[:-1] == ord("\\")) & (texts.data[1:] == ord("u")))
    bounds = np.searchsorted(places, np.append(texts.starts, len(texts.data)))
    enough = np.flatnonzero(np.diff(bounds) >= 8)
    return list(zip(places[bounds[enough]].tolist(), (places[bounds[enough + 1] - 1] + 6).tolist(), strict=True))


def _in_a_row(holds: npt.NDArray[np.bool_], least: int) -> tuple[Integers, Integers]:
    """Where runs of at least `least` (a power of two) that hold begin and end."""
    joint = holds
    for step in (1 << bit for bit in range(least.bit_length() - 1)):
        joint = joint[: max(0, len(joint) - step)] & joint[step:]
    places = np.flatnonzero(joint)
    breaks = np.flatnonzero(np.diff(places) > 1)
    return places[np.append(0, breaks + 1)[: len(places)]], places[np.append(breaks, -1)[: len(places)]] + least


def _runs(texts: Texts, regions: list[Region], pattern: re.Pattern[bytes]) -> Spans:
    """What `pattern` matches within `regions`, each document by itself."""
    found: list[tuple[int, int]] = []
    document_starts = texts.starts.tolist()
    for begin, end in regions:
        # Most lie in one document; the first begins in the newline after another at the earliest.
        first = max(0, bisect_right(document_starts, begin) - 1)
        for document in range(first, bisect_left(document_starts, end)):
            start = document_starts[document]
            matches = pattern.finditer(texts.documents[document], max(0, begin - start), end - start)
            found += [(start + match.start(), start + match.end()) for match in matches]
    starts, ends = np.array(found, np.int64).reshape(-1, 2).T
    return Spans(starts, ends, np.searchsorted(starts, np.append(texts.starts, len(texts.data))))
