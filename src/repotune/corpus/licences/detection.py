"""What a licence file, and what the head of a source file, says of the licence."""

from __future__ import annotations

import re
from functools import lru_cache

from repotune.corpus.licences.expressions import UNKNOWN, parse
from repotune.corpus.licences.notices import has_conditions, named
from repotune.corpus.licences.texts import identify

HEAD = 4096
"""Characters that hold a file's first comment, where its tag or notice stands."""

_REMEMBERED = 4096  # licence files and heads repeat: a monorepo's packages all carry the same few
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\n]*)")
_EXPRESSION = re.compile(
    r"[ (]*[A-Za-z0-9][\w.+:-]*[ )]*(?:(?<=[ )])(?:AND|OR|WITH)\b[ (]*[A-Za-z0-9][\w.+:-]*[ )]*)*", re.I
)
# What no notice does without; most files have none of it at their head, and are not looked at further.
_CUES = (
    *("license", "licence", "copying", "permission", "redistribut", "public domain", "gpl"),
    *("proprietary", "confidential"),
)


@lru_cache(_REMEMBERED)
def licences_of_text(text: str) -> frozenset[str]:
    """The licences of a licence file; `unknown` where none is recognised, and beside one that asks for more."""
    if tags := tagged(text):
        return tags
    found = identify(text)
    beside = named(found.rest)
    licences = frozenset(found.licences) | beside
    if not licences or (found.licences and has_conditions(found.rest)):
        licences |= {UNKNOWN}
    return licences


def own_licences(text: str) -> frozenset[str]:
    """What a source file says of itself: its SPDX tags, or else a licence or notice at its head. Empty for nothing."""
    head = text[:HEAD]
    small = head.lower()  # eight searches for a literal take a tenth of the time of one pattern for all
    if not any(cue in small for cue in _CUES):
        return frozenset()
    return tagged(head) or _of_head(head)


def tagged(text: str) -> frozenset[str]:
    """The expressions of the SPDX tags at the head of `text`; `unknown` for one that is none."""
    found = set()
    for match in _TAG.finditer(text, 0, HEAD):
        expression = _EXPRESSION.match(match[1])
        if match[1].strip():
            found.add((parse(expression[0].rstrip(" .-")) if expression else None) or UNKNOWN)
    return frozenset(found)


@lru_cache(_REMEMBERED)
def _of_head(head: str) -> frozenset[str]:
    found = identify(head)
    return frozenset(found.licences) | named(found.rest)
