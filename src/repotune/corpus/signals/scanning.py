"""Comments and strings by one regular expression per family of languages, built from comments.toml.

A lexical scan knows no grammar: a regular expression of JavaScript counts as code, a nested block comment ends at the
first mark, a here-document is code. What it finds is right where parsing is not wanted or not possible.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from repotune.corpus.signals.spans import Integers, Spans

# In no family does a comment begin with one of these, and in none a string with another.
STRING_OPENERS = b"\"'`["

Family = dict[str, Any]  # of comments.toml: marks, and pairs of marks


@dataclass(frozen=True)
class Lexemes:
    """Comments and strings of a batch. `known` tells for which documents they are looked for at all."""

    spans: Spans
    known: npt.NDArray[np.bool_]


def scan(documents: Sequence[bytes], languages: Sequence[str], starts: Integers) -> Lexemes:
    """The comments and strings of `documents`; document i stands at `starts[i]` of the batch."""
    patterns = [_patterns().get(language) for language in languages]
    found = []
    for document, pattern, start in zip(documents, patterns, starts, strict=True):
        spans = map(re.Match.span, pattern.finditer(document)) if pattern else ()
        found.append(np.fromiter(chain.from_iterable(spans), np.int64) + start)
    edges = np.concatenate([*found, np.empty(0, np.int64)])
    bounds = np.cumsum([0] + [len(each) // 2 for each in found])
    known = np.fromiter((pattern is not None for pattern in patterns), np.bool_, len(patterns))
    return Lexemes(Spans(edges[0::2], edges[1::2], bounds), known)


@cache
def _patterns() -> dict[str, re.Pattern[bytes]]:
    """The pattern of each language."""
    text = (files("repotune.corpus.signals") / "comments.toml").read_text(encoding="utf-8")
    families = tomllib.loads(text).values()
    return {
        language: pattern for family in families for pattern in [_pattern(family)] for language in family["languages"]
    }


def _pattern(family: Family) -> re.Pattern[bytes]:
    """One alternation over all openers, those that share their first byte behind it: then the engine can skip to the
    next byte that begins any, which is twice as fast as one alternative after the other."""
    by_first = defaultdict(list)
    for opener, tail in sorted(_lexemes(family), key=lambda pair: -len(pair[0])):
        by_first[opener[0]].append(re.escape(opener[1:]) + tail)
    branches = (re.escape(first) + "(?:" + "|".join(tails) + ")" for first, tails in by_first.items())
    return re.compile("|".join(branches).encode(), re.DOTALL)


def _lexemes(family: Family) -> Iterator[tuple[str, str]]:
    """What each kind of comment and string begins with, and the pattern of the rest. None ever steps back."""
    for mark in family.get("line", ()):
        yield mark, r"[^\n]*+"
    for mark in family.get("line_after_blank", ()):
        yield mark, rf"(?<!\S{re.escape(mark)})[^\n]*+"
    for opener, closer in [*family.get("block", ()), *family.get("raw", ())]:
        yield opener, _until(closer, "")
    for mark in family.get("long", ()):
        yield mark, _until(mark, r"\\")
    for mark in family.get("strings", ()):
        yield mark, rf"[^{mark}\\\n]*+(?:\\.?+[^{mark}\\\n]*+)*+{mark}?+"


def _until(closer: str, escape: str) -> str:
    """Everything up to and with `closer`, or to the text's end. After the byte `escape`, if any, nothing closes."""
    first, rest = re.escape(closer[0]), re.escape(closer[1:])
    others = rf"[^{first}{escape}]*+"
    within = [rf"{escape}.?+"] * bool(escape) + [f"{first}(?!{rest})"] * bool(rest)
    more = f"(?:(?:{'|'.join(within)}){others})*+" if within else ""
    return rf"{others}{more}(?:{first}{rest}|\Z)"
