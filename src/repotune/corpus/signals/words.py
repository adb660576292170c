"""How many words a document has, and how long its names are. A word is a run of letters, digits and underscores."""

from __future__ import annotations

import hashlib

import numpy as np

from repotune.corpus.hashing import STEP, Hashes, mix
from repotune.corpus.signals.signal import Columns, Signal, ratio, where_known
from repotune.corpus.signals.texts import Texts

SIGNALS = (
    Signal("words", "count", "words", "runs of letters, digits, underscores", "OpenCoder (arXiv 2411.04905)"),
    Signal("mean_word", "mean", "characters", "mean length of a word", "Gopher (arXiv 2112.11446)"),
    Signal(
        "mean_identifier",
        "mean",
        "characters",
        "mean length of a word that does not begin with a digit, outside comments and strings",
    ),
)

_HASHED = 64  # bytes taken eight at a time; what a longer word has beyond is left to a hash of its own


def measure(texts: Texts) -> Columns:
    """The columns of SIGNALS, a value for each document."""
    words, widths = texts.words, texts.word_widths
    first = texts.data[words.starts]
    name = texts.words_in_code & ((first < ord("0")) | (first > ord("9")))
    return {
        "words": words.counts,
        "mean_word": ratio(words.sum(widths), words.counts),
        "mean_identifier": where_known(ratio(words.sum(widths * name), words.sum(name)), texts.lexemes.known),
    }


def word_hashes(texts: Texts) -> Hashes:
    """A hash of each of `texts.words`, by its bytes alone.

    Eight bytes at a time over all words at once: four times as fast as the prefix sums of `corpus.hashing` over a
    whole batch, slower than they are document by document.
    """
    starts, lengths = texts.words.starts, texts.word_lengths
    hashes = mix(texts.word_heads ^ lengths.astype(np.uint64) * STEP)
    longer = np.flatnonzero(lengths > 8)
    for done in range(8, _HASHED, 8):
        left = lengths[longer] - done
        hashes[longer] = mix(hashes[longer] * STEP + texts.eight(starts[longer] + done, left))
        longer = longer[left > 8]
    for word in longer.tolist():
        rest = texts.data[starts[word] + _HASHED : texts.words.ends[word]].tobytes()
        hashes[word] ^= np.uint64(int.from_bytes(hashlib.blake2b(rest, digest_size=8).digest(), "little"))
    return hashes
