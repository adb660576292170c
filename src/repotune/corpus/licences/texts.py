"""Licences by their text: runs of words against the texts of the SPDX licence list.

Text is compared as words: case, punctuation, line breaks, comment marks, list labels and spelling (licence, license)
change nothing. A licence is found where enough of its runs of `RUN` words are there, so that names and small edits
change nothing either; where one text holds another (BSD with three clauses that with two), the one that explains more
is named. What no found licence explains is handed back: notices and further conditions stand there.
"""

from __future__ import annotations

import json
import lzma
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

RUN = 4
"""Words in a run. Of 279 licence files of installed packages 4 names 95.7 % as the packages state, 3 names 95.3 %, and
5 only 76 %: names within a short licence break too many runs. With one word in thirty changed 4 still knows 99.4 % of
all texts."""

LEAST_SHARE = 0.75
"""Of a licence's runs, how many must be there. Anything from .6 to .85 names the same of those files, in which the
right licence has .87 or more; .95 names 69 %."""

_LEAST_NEW = 0.3  # of a further licence's runs, how many must not be explained by those found before
_HIDDEN = 10  # words in a row that a licence explains; fewer meet by chance

_END = "end of terms and conditions"
# A word, with the mark that makes a label of it: `a)`, `iv.`, `1.` come and go with the layout and are passed over.
_WORD = re.compile(r"[a-z0-9]+(?:[.)](?=\s))?")
_LABELS = frozenset(
    f"{label}{mark}"
    for mark in ".)"
    for label in [*string.ascii_lowercase, *map(str, range(1, 100)), "ii", "iii", "iv", "vi", "vii", "viii", "ix"]
)
# Tags of HTML, and addresses within the same brackets, are none of the text.
_TAG = re.compile(r"<[^<>\n]{1,200}>|&[a-z]{2,6};")
_PLUS = re.compile(r"(?<=\d)\+(?!\w)")  # GPLv3+
_COPYRIGHT = re.compile(
    r"^\W*(?:portions )?(?:copyright|\(c\)|©).*(?:\d{4}|year|yyyy|holder|name|owner).*$", re.MULTILINE
)
# Words that the guidelines of the SPDX list hold to be equal: British and American, http and https, holder and owner.
_SPELLING = {
    "licence": "license", "licences": "licenses", "licenced": "licensed", "sublicence": "sublicense",
    "acknowledgement": "acknowledgment", "acknowledgements": "acknowledgments", "analogue": "analog",
    "analyse": "analyze", "artefact": "artifact", "artefacts": "artifacts", "authorisation": "authorization",
    "authorised": "authorized", "calibre": "caliber", "cancelled": "canceled", "catalogue": "catalog",
    "categorise": "categorize", "centre": "center", "emphasised": "emphasized", "favour": "favor",
    "fulfil": "fulfill", "fulfilment": "fulfillment", "initialise": "initialize", "judgement": "judgment",
    "labelling": "labeling", "labour": "labor", "maximise": "maximize",
    "modelled": "modeled", "modelling": "modeling", "offence": "offense", "optimise": "optimize",
    "organisation": "organization", "organise": "organize", "practise": "practice", "programme": "program",
    "realise": "realize", "recognise": "recognize", "recognised": "recognized", "signalling": "signaling",
    "utilisation": "utilization", "wilful": "willful", "https": "http", "owner": "holder", "owners": "holders",
}  # fmt: skip

Hashes = npt.NDArray[np.uint64]


class Found(NamedTuple):
    """The licences whose text is there, the likeliest first, and the words that none of them explains, in one line."""

    licences: tuple[str, ...]
    rest: str


@dataclass(frozen=True)
class _Index:
    """Runs of words of all texts, sorted, and for each the licences that hold it: `owners[starts[i]:starts[i + 1]]`.

    `sizes` counts each licence's runs without its appendix on how to apply it, which is often left out.
    """

    vocabulary: dict[str, int]
    runs: Hashes
    starts: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.float64]
    names: tuple[str, ...]


def identify(text: str) -> Found:
    """The licences whose text `text` holds, be it a licence file or the head of a source file."""
    index, tokens = _index(), _tokens(text)
    known = index.vocabulary.get
    runs = _runs(np.array([known(token, 0) for token in tokens], np.uint64))
    if not runs.size:
        return Found((), " ".join(_plain(tokens)))
    place = np.minimum(np.searchsorted(index.runs, runs), index.runs.size - 1)
    place[index.runs[place] != runs] = -1
    found, explained = _explain(index, place)
    return Found(tuple(index.names[number] for number in found), _rest(tokens, explained))


def words_of(text: str) -> list[str]:
    """The words of `text` as they are compared, in American spelling."""
    return _plain(_tokens(text))


def _tokens(text: str) -> list[str]:
    """The words of `text` but for labels, some with the mark that follows them."""
    lowered = text.lower()
    if "<" in lowered or "&" in lowered:
        lowered = _TAG.sub(" ", lowered)
    if "+" in lowered:
        lowered = _PLUS.sub(" or later ", lowered)
    return [token for token in _WORD.findall(lowered) if token not in _LABELS]


def _plain(tokens: Iterable[str]) -> list[str]:
    """`tokens` without the marks that follow them, in American spelling."""
    return [_SPELLING.get(word, word) for token in tokens for word in [token.rstrip(".)")]]


@cache
def catalogue() -> dict[str, str]:
    """Every id of the SPDX licence list with its name."""
    return {licence: str(row["name"]) for licence, row in _shipped().items()}


def _explain(index: _Index, place: npt.NDArray[np.int64]) -> tuple[list[int], npt.NDArray[np.bool_]]:
    """The licences, by number, that explain the runs at `place`, and which of those runs they explain."""
    present = np.unique(place[place >= 0])
    counts = index.starts[present + 1] - index.starts[present]
    owners = _slices(index, present, counts)
    run_of_owner = np.repeat(np.arange(present.size), counts)
    matched = np.bincount(owners, minlength=index.sizes.size)
    new = np.ones(present.size, bool)
    explained = np.zeros(index.runs.size, bool)
    found: list[int] = []
    while True:
        fresh = np.bincount(owners[new[run_of_owner]], minlength=index.sizes.size)
        enough = (matched >= LEAST_SHARE * index.sizes) & (fresh >= _LEAST_NEW * index.sizes)
        # More explained is better, and so is less missing: of two that hold one another the true one wins.
        score = np.where(enough, matched * np.minimum(matched / index.sizes, 1), 0)
        best = int(np.argmax(score))
        if score[best] <= 0:
            return found, explained[np.maximum(place, 0)] & (place >= 0)
        found.append(best)
        held = run_of_owner[owners == best]
        new[held] = False
        explained[present[held]] = True


def _slices(index: _Index, present: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The owners of each run of `present`, of which each has so many, one after the other."""
    first = index.starts[present]
    before = np.cumsum(counts) - counts
    return index.owners[np.repeat(first - before, counts) + np.arange(int(counts.sum()))]


def _rest(tokens: list[str], explained: npt.NDArray[np.bool_]) -> str:
    """The words that lie in no long explained stretch."""
    covered = np.convolve(explained, np.ones(RUN, np.int8)) > 0
    edges = np.flatnonzero(np.diff(np.concatenate(([0], covered.view(np.int8), [0]))))
    shown = np.ones(len(tokens), bool)
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        shown[begin:end] = end - begin < _HIDDEN
    return " ".join(_plain(compress(tokens, shown)))


def _runs(known: Hashes) -> Hashes:
    """A hash for each run of words: polynomials modulo 2^64, which wraps in numpy."""
    if known.size < RUN:
        return np.empty(0, np.uint64)
    total = np.zeros(known.size - RUN + 1, np.uint64)
    for offset in range(RUN):
        total = total * np.uint64(0x9E3779B97F4A7C15) + known[offset : known.size - RUN + 1 + offset]
    return total


@cache
def _index() -> _Index:
    texts = [(licence, text) for licence, row in _shipped().items() for text in row["texts"]]
    vocabulary: dict[str, int] = {}
    parts, terms = [], []
    for _, text in texts:
        words = words_of(_COPYRIGHT.sub("", text.lower()))
        runs = _runs(np.array([vocabulary.setdefault(word, len(vocabulary) + 1) for word in words], np.uint64))
        parts.append(np.unique(runs))
        terms.append(np.unique(runs[: " ".join(words).partition(_END)[0].count(" ") + 1]).size)
    # Each word as it may stand in a text, so that a token is known at one look.
    vocabulary |= {british: vocabulary[word] for british, word in _SPELLING.items() if word in vocabulary}
    vocabulary |= {f"{word}{mark}": number for word, number in vocabulary.items() for mark in ".)"}
    sizes = np.array([part.size for part in parts])
    runs, inverse = np.unique(np.concatenate(parts), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return _Index(
        vocabulary=vocabulary,
        runs=runs,
        starts=np.concatenate(([0], np.cumsum(np.bincount(inverse)))),
        owners=np.repeat(np.arange(sizes.size), sizes)[order],
        sizes=np.array(terms, np.float64),
        names=tuple(licence for licence, _ in texts),
    )


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    data = (files("repotune.corpus.licences") / "texts.json.xz").read_bytes()
    shipped: dict[str, dict[str, Any]] = json.loads(lzma.decompress(data))
    return shipped
