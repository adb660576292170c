"""Words that one would not have a model write, as a weighted score per thousand words.

The list, toxic.txt, is our own and holds no word that also has a technical or plain meaning. It counts whole words, so
it finds them in comments, strings and prose, and as names, but not as part of a name.
"""

from __future__ import annotations

import codecs
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from repotune.corpus.signals.signal import Columns, Signal, ratio
from repotune.corpus.signals.spans import Integers
from repotune.corpus.signals.texts import Texts, number_of

SIGNALS = (
    Signal(
        "toxicity",
        "mean",
        "per 1,000 words",
        "weights of coarse (1), vile (3) and hateful (10) words",
        "named by Replit (2023); the list is our own",
    ),
)

_LOWER = np.uint64(0x2020202020202020)  # this bit makes a capital letter small, eight bytes at once
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio


def measure(texts: Texts) -> Columns:
    """The columns of SIGNALS, a value for each document."""
    weights, maybe = _list()
    words = texts.words
    scores = np.zeros(len(words), np.int64)
    for number in np.flatnonzero(maybe[_key(texts.word_heads)]).tolist():
        word = texts.data[words.starts[number] : words.ends[number]].tobytes().lower()
        scores[number] = weights.get(word, 0)
    return {"toxicity": 1000 * ratio(words.sum(scores), words.counts)}


def _key(eight: npt.NDArray[np.uint64]) -> Integers:
    return ((eight | _LOWER) * _SPREAD >> np.uint64(48)).astype(np.int64)


@cache
def _list() -> tuple[dict[bytes, int], npt.NDArray[np.bool_]]:
    """The weight of each word, and by the key of their first eight letters whether a word can be one of them."""
    text = (files("repotune.corpus.signals") / "toxic.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    weights = {codecs.encode(word, "rot13").encode(): int(weight) for weight, *words in rows for word in words}
    maybe = np.zeros(1 << 16, np.bool_)
    maybe[_key(np.array([number_of(word[:8]) for word in weights]))] = True
    return weights, maybe
