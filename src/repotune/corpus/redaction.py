"""Typed placeholders in the place of what must not be learnt.

A span is a place and a kind and never the text, so that neither a log, nor an error, nor a repr can show a secret.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_GENERAL = ("PASSWORD", "SECRET_KEY")  # give way to what tells more
_PLACEHOLDER = re.compile(rb"<[A-Z][A-Z0-9_]+>")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes `start` to `end` of a document are a `kind`, such as AWS_ACCESS_KEY."""

    start: int
    end: int
    kind: str


Find = Callable[[bytes, str, str], Sequence[Span]]
"""Finds what is to be replaced in a document, given its UTF-8 bytes, its path and its language."""


def redact(data: bytes, find: Find, path: str = "", language: str = "") -> tuple[bytes, Counter[str]]:
    """`data` with a placeholder for each span that `find` yields, until it yields none; and how many of each kind.

    A replaced text therefore stays as it is when it is redacted again. It ends: every round takes away at least a byte
    that is not part of a placeholder.
    """
    counts: Counter[str] = Counter()
    while spans := _worth_replacing(data, find(data, path, language)):
        pieces, position = [], 0
        for span in spans:
            kind = span.kind if _bracketed(data, span) else f"<{span.kind}>"  # an address stands as <a@b.org>, too
            pieces += [data[position : span.start], kind.encode()]
            position = span.end
            counts[span.kind] += 1
        data = b"".join([*pieces, data[position:]])
    return data, counts


def _worth_replacing(data: bytes, spans: Iterable[Span]) -> list[Span]:
    """`spans` in order, those that overlap made one, without those that hold nothing but placeholders."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if merged and span.start < merged[-1].end:
            last = merged.pop()
            kind = span.kind if last.kind in _GENERAL else last.kind
            span = Span(last.start, max(last.end, span.end), kind)
        merged.append(span)
    return [span for span in merged if not _is_placeholder(data, span)]


def _bracketed(data: bytes, span: Span) -> bool:
    return data[span.start - 1 : span.start] == b"<" and data[span.end : span.end + 1] == b">"


def _is_placeholder(data: bytes, span: Span) -> bool:
    text = data[span.start : span.end]
    return not _PLACEHOLDER.sub(b"", b"<" + text + b">" if _bracketed(data, span) else text)
