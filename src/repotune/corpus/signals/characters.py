"""What a document's characters are: letters, digits, white space, and those that a text should not have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from repotune.corpus.signals.signal import Columns, Signal, ratio
from repotune.corpus.signals.spans import Integers
from repotune.corpus.signals.texts import Texts

_STACK = "The Stack (arXiv 2211.15533)"
_STARCODER2 = "StarCoder2 (arXiv 2402.19173)"
_OPENCODER = "OpenCoder (arXiv 2411.04905)"

SIGNALS = (
    Signal("alphabetic_share", "share", "of characters", "letters of any script (`str.isalpha`)", _STARCODER2),
    Signal("alphanumeric_share", "share", "of characters", "letters and digits (`str.isalnum`)", _STACK),
    Signal("uppercase_share", "share", "of characters", "upper-case letters (`str.isupper`)"),
    Signal("digit_share", "share", "of characters", "decimal digits (`str.isdecimal`)", _OPENCODER),
    Signal("space_share", "share", "of characters", "white space (`str.isspace`)", _OPENCODER),
    Signal("punctuation_share", "share", "of characters", "ASCII signs (`string.punctuation`)"),
    Signal("non_ascii_share", "share", "of characters", "beyond U+007F"),
    Signal(
        "control_share",
        "share",
        "of characters",
        "U+0000–U+001F, U+007F–U+009F but for tab, line feed, form feed, carriage return",
    ),
    Signal("replacement_share", "share", "of characters", "U+FFFD, which stands for bytes that were lost", _OPENCODER),
    Signal("entropy", "mean", "bits per byte", "Shannon entropy of the bytes: 8 for random ones, about 4.5 for code"),
)

_REPLACEMENT = 0xFFFD
_CONTROL = frozenset({*range(0x20), *range(0x7F, 0xA0)} - set(b"\t\n\f\r"))


def _classes(code: int) -> tuple[bool, ...]:
    """Whether a character counts for each of the shares, in the order of SIGNALS."""
    text = chr(code)
    ascii_sign = 0x20 < code < 0x7F and not text.isalnum()
    return (
        text.isalpha(),
        text.isalnum(),
        text.isupper(),
        text.isdecimal(),
        text.isspace(),
        ascii_sign,
        code >= 0x80,
        code in _CONTROL,
        code == _REPLACEMENT,
    )


# One row per byte; those beyond ASCII count for nothing by themselves.
_ASCII = np.array([_classes(code) if code < 128 else (False,) * 9 for code in range(256)], np.int64)


def measure(texts: Texts) -> Columns:
    """The columns of SIGNALS, a value for each document."""
    histograms = np.zeros((len(texts), 256), np.int64)
    for histogram, start, end in zip(histograms, texts.starts, texts.ends, strict=True):
        histogram[:] = np.bincount(texts.data[start:end], minlength=256)
    counts = histograms @ _ASCII + _beyond_ascii(texts)
    shares = {
        signal.name: ratio(column, texts.characters)
        for signal, column in zip(SIGNALS, counts.T, strict=False)  # entropy is no share
    }
    return {**shares, "entropy": _entropy(histograms)}


def _beyond_ascii(texts: Texts) -> npt.NDArray[np.int64]:
    """What the characters beyond ASCII add to each class, (documents, classes)."""
    added = np.zeros((len(texts), _ASCII.shape[1]), np.int64)
    leads = np.flatnonzero(texts.data >= 0xC0)
    if not len(leads):
        return added
    codes = _decode(texts.data, leads)
    seen = np.flatnonzero(np.bincount(codes))
    table = np.zeros((seen[-1] + 1, _ASCII.shape[1]), np.int64)
    table[seen] = [_classes(code) for code in seen.tolist()]
    running = np.concatenate((np.zeros_like(added[:1]), np.cumsum(table[codes], axis=0)))
    return np.diff(running[np.searchsorted(leads, np.append(texts.starts, len(texts.data)))], axis=0)


def _decode(data: npt.NDArray[np.uint8], leads: Integers) -> Integers:
    """The code points whose first bytes stand at `leads`. The text is valid UTF-8."""
    first = data[leads].astype(np.int64)
    length = 2 + (first >= 0xE0) + (first >= 0xF0)
    codes = first & (0x7F >> length)
    for place in (1, 2, 3):
        goes_on = length > place
        following = data[np.minimum(leads + place, len(data) - 1)] & 0x3F
        codes = np.where(goes_on, codes << 6 | following, codes)
    return codes


def _entropy(histograms: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    chances = ratio(histograms, histograms.sum(axis=1, keepdims=True))
    logarithms = np.log2(chances, where=chances > 0, out=np.zeros_like(chances))
    entropy: npt.NDArray[np.float64] = 0.0 - np.sum(chances * logarithms, axis=1)
    return entropy
