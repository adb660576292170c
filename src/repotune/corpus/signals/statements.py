"""How many lines of Python hold a statement of one kind. Words in comments, strings and longer names do not count."""

from __future__ import annotations

import numpy as np

from repotune.corpus.signals.signal import Columns, Signal, ratio, where_known
from repotune.corpus.signals.texts import Texts, number_of

_OPENCODER = "OpenCoder (arXiv 2411.04905)"
_KEYWORDS = ("assert", "import", "def", "pass")

SIGNALS = (
    *(
        Signal(
            f"{word}_share", "share", "of lines", f"lines with the keyword `{word}`; null but for Python", _OPENCODER
        )
        for word in _KEYWORDS
    ),
    Signal(
        "print_share",
        "share",
        "of lines",
        "lines with the name `print` that is no attribute; null but for Python",
        _OPENCODER,
    ),
)


def measure(texts: Texts) -> Columns:
    """The columns of SIGNALS, a value for each document."""
    python, words, lines = texts.of("Python"), texts.words, texts.lines
    possible = texts.words_in_code & (texts.word_lengths <= 6) & np.repeat(python, words.counts)
    places, values = words.starts[possible], texts.word_heads[possible]
    attribute = texts.data[np.maximum(places - 1, 0)] == ord(".")
    columns = {}
    for word in (*_KEYWORDS, "print"):
        found = values == number_of(word.encode())
        if word == "print":
            found &= ~attribute
        with_it = np.zeros(len(lines), np.bool_)
        with_it[np.searchsorted(lines.starts, places[found], side="right") - 1] = True
        columns[f"{word}_share"] = where_known(ratio(lines.sum(with_it), lines.counts), python)
    return columns
