"""All secrets of a document in two sweeps of its bytes: one for all literals at once, one for long runs.

Aho and Corasick's automaton (1975) finds every prefix and every telling name in one pass at 450 MB/s a core; a find for
twenty characters of keys in a row takes its steps in twenties. Patterns are tried only where one of the two has struck.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial

import ahocorasick_rs

from repotune.corpus.redaction import Span
from repotune.corpus.secrets.assignments import KEY_NAMES, PASSWORD_NAMES, assigned, in_url
from repotune.corpus.secrets.providers import PROVIDERS, REACH, Provider
from repotune.corpus.secrets.values import is_random

_LEAST_RUN = 20
_MOST_RUN = 128  # longer ones are data: pictures, certificates, vectors

_IN_RUN = bytes(b"k"[0] if chr(byte) in "+/_=-" or chr(byte).isalnum() else b"."[0] for byte in range(128)) + b"." * 128
_RUN = b"k" * _LEAST_RUN
_LONE = rb"(?<=(?P<quote>[\"'`]))[A-Za-z0-9+/_=-]{%d,%d}(?P=quote)" % (_LEAST_RUN, _MOST_RUN)
_DIGIT = re.compile(rb"[0-9]")

_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_PEM_LINES = re.compile(rb"(?:[\s\\nr\"'+,]{0,40}[A-Za-z0-9+/=]{16,}){1,200}")  # of a block that was torn off
_PUTTY = re.compile(rb"PuTTY-User-Key-File-\d:")
_MOST_BLOCK = 20_000  # bytes of a private key; 16,384-bit RSA keys have 12,700

# What is assigned to a name, or the first argument of a call; a row of a table of test vectors is neither.
_ASSIGNED = re.compile(rb"(?:[\w\]\"'`)]\s{0,8}(?::=|=>|(?<![=!])=|:)|[\w)]\()\s{0,8}[bBrRuU]?[\"'`]$")
# A digest, a revision or an identifier is public, and so is what a test expects.
_PUBLIC = re.compile(
    rb"(?i)sha-?\d|\bsha\b|md[45]|hash|digest|checksum|integrity|\bcrc|fingerprint|etag|commit|version|revision|\brev\b|uuid|guid"
    rb"|blake|hmac|signature|hexdump|_ids?\b|\bids?\b|assert|equal|expect|fromhex|unhex|decode|boundary|nonce|\bsalt\b"
)
_LOCKS = frozenset(
    {"brewfile.lock.json", "cartfile.resolved", "composer.lock", "go.sum", "npm-shrinkwrap.json", "package-lock.json"}
    | {"package.resolved", "packages.lock.json"}
)


def find_secrets(data: bytes, path: str = "", language: str = "") -> list[Span]:
    """The secrets of a document in UTF-8; its language tells whether values stand without quotes."""
    automaton, tried = _automaton()
    spans: list[Span] = []
    for index, start, end in automaton.find_matches_as_indexes(data.lower(), overlapping=True):
        for begins, find in tried[index]:
            if begins is None or begins(data, start, start + REACH):
                spans += find(data, start, end, language)
    locked = _is_lock(path)
    for start, end in _runs(data):
        if _BEGINS.match(data, start, start + REACH):
            for provider in _UNANCHORED:
                spans += provider.find(data, start)
            if not locked:
                spans += _random(data, start, end)
    return spans


Finder = Callable[[bytes, int, int, str], Iterable[Span]]
Begins = Callable[[bytes, int, int], object]


@cache
def _automaton() -> tuple[ahocorasick_rs.BytesAhoCorasick, list[list[tuple[Begins | None, Finder]]]]:
    """Finds the literals, and what is to be tried where each was found: (document, start, end, language) → spans.

    What is before a finder, if anything, tells it from a literal that begins no secret, as most do, by one call of C.
    """
    tried: dict[str, list[tuple[Begins | None, Finder]]] = defaultdict(list)
    for provider in PROVIDERS:
        begins = None if provider.lead else provider.pattern.match
        for anchor in provider.anchors:
            tried[anchor].append((begins, partial(_provided, provider)))
    for name in sorted(PASSWORD_NAMES):
        tried[name].append((None, partial(assigned, password=True)))
    for name in sorted(KEY_NAMES):
        tried[name].append((None, partial(assigned, password=False)))
    tried["://"].append((None, in_url))
    for literal in ("-----begin ", "putty-user-key-file-"):
        tried[literal].append((None, _private_key))
    literals = [literal.encode() for literal in tried]
    # As a table of states the automaton is twice as fast as in its compact form, for 2 MB and 5 ms a process.
    table = ahocorasick_rs.Implementation.DFA
    return ahocorasick_rs.BytesAhoCorasick(literals, implementation=table), list(tried.values())


_UNANCHORED = tuple(provider for provider in PROVIDERS if not provider.anchors)
# Most runs begin none of these keys, nor stand between quotes.
_BEGINS = re.compile(b"|".join([_LONE, *(provider.pattern.pattern for provider in _UNANCHORED)]))


def _provided(provider: Provider, data: bytes, start: int, end: int, language: str) -> Iterable[Span]:
    return provider.find(data, start)


def _private_key(data: bytes, start: int, end: int, language: str) -> Iterator[Span]:
    """The body of the PEM block or PuTTY file that begins at `start`."""
    head = _PEM.match(data, start) or _PUTTY.match(data, start)
    if head is None:
        return
    closing = b"-----" if head.re is _PEM else b"Private-MAC:"
    stop = data.find(closing, head.end(), head.end() + _MOST_BLOCK)
    if head.re is _PUTTY and stop >= 0:
        line_end = data.find(b"\n", stop)
        stop = line_end if line_end >= 0 else len(data)
    elif stop < 0 or not data.startswith(b"-----END ", stop):
        torn = _PEM_LINES.match(data, head.end())
        stop = torn.end() if torn is not None else -1
    if stop - head.end() >= _LEAST_RUN:
        yield Span(head.end(), stop, "PRIVATE_KEY")


def _random(data: bytes, start: int, end: int) -> Iterator[Span]:
    """The run `start` to `end` where it stands alone between quotes and was drawn at random."""
    quote = data[start - 1 : start]
    if end - start > _MOST_RUN or quote not in (b'"', b"'", b"`") or data[end : end + 1] != quote:
        return
    if not _DIGIT.search(data, start, end):
        return
    value = data[start:end]
    before = data[max(data.rfind(b"\n", 0, start) + 1, start - 200) : start]
    if is_random(value) and _ASSIGNED.search(before) and not _PUBLIC.search(before):
        yield Span(start, end, "SECRET_KEY")


def _runs(data: bytes) -> Iterator[tuple[int, int]]:
    """Where 20 or more characters of keys stand in a row."""
    marked = data.translate(_IN_RUN)
    start = marked.find(_RUN)
    while start >= 0:
        end = marked.find(b".", start)
        end = len(data) if end < 0 else end
        yield start, end
        start = marked.find(_RUN, end)


def _is_lock(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    return name in _LOCKS or name.endswith((".lock", ".sum"))
