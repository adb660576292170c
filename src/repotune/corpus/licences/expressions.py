"""SPDX licence expressions: `MIT`, `Apache-2.0 WITH LLVM-exception`, `(GPL-2.0-only OR MIT) AND Zlib`.

An expression is kept as text in one canonical form, so that equal ones are equal texts. What is found together is
joined by AND, and all of it has to be allowed. Of an OR one side is enough: the holder of the copyright offers the
choice, and whoever learns from the file makes it. It is only ever read where it is written, never guessed from two
licence files that lie side by side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from repotune.corpus.licences.texts import catalogue

UNKNOWN = "unknown"
"""The licence of what has none that is recognised: a class of its own, never permissive."""

_TOKEN = re.compile(r"\s*([()]|[A-Za-z0-9][\w.:+-]*)")
_OPERATORS = ("AND", "OR", "WITH")
_GNU = re.compile(r"(?:A|L)?GPL-\d\.\d|GFDL-\d\.\d")
_REMEMBERED = 4096  # expressions of a corpus are few, but what stands behind a tag can be anything
_MOST_TOKENS = 200  # no honest expression is longer, and nesting stays far below Python's own limit


@dataclass(frozen=True)
class _Joined:
    operator: Literal["AND", "OR"]
    parts: tuple[_Joined | str, ...]


@lru_cache(_REMEMBERED)
def parse(text: str) -> str | None:
    """The canonical form of an expression, its operators and ids in any case. None for what is not one.

    An id that the SPDX list does not have is kept as it is written. GNU ids without `-only` or `-or-later` get the
    first, their `+` the second.
    """
    tree = _parse(text)
    return None if tree is None else _shown(tree)


def conjunction(found: Iterable[str]) -> str:
    """All of `found`, expressions in canonical form, as one; `unknown` where there is nothing."""
    parts = [tree for text in found if (tree := _parse(text)) is not None]
    return _shown(_join("AND", parts)) if parts else UNKNOWN


def ids(expression: str) -> frozenset[str]:
    """Every licence in a canonical expression; exceptions are not licences."""
    tree = _parse(expression)
    return frozenset() if tree is None else frozenset(_leaves(tree))


def satisfied(expression: str, allowed: Callable[[str], bool]) -> bool:
    """Whether a canonical expression is met by the ids that are `allowed`: all sides of an AND, one of an OR.

    A licence WITH an exception counts as the licence: exceptions only ever permit more.
    """

    def met(tree: _Joined | str) -> bool:
        if isinstance(tree, str):
            return allowed(tree.partition(" WITH ")[0])
        return (all if tree.operator == "AND" else any)(map(met, tree.parts))

    tree = _parse(expression)
    return tree is not None and met(tree)


@lru_cache(_REMEMBERED)
def known_id(name: str) -> str | None:
    """`name` as the SPDX list writes it, whatever its case; None where the list does not have it."""
    plain = name.lower()
    if plain == UNKNOWN or plain.startswith("licenseref-"):
        return UNKNOWN if plain == UNKNOWN else name
    listed = _by_lower_case().get(plain) or _by_lower_case().get(plain.removesuffix("+"))
    if listed is None:
        return None
    if _GNU.fullmatch(bare := listed.removesuffix("+")):
        return f"{bare}-or-later" if plain.endswith("+") else f"{bare}-only"
    return listed


@cache
def _by_lower_case() -> dict[str, str]:
    return {listed.lower(): listed for listed in catalogue()}


@lru_cache(_REMEMBERED)
def _parse(text: str) -> _Joined | str | None:
    tokens = _tokens(text)
    if not tokens or len(tokens) > _MOST_TOKENS:
        return None
    try:
        tree, end = _alternatives(tokens, 0)
    except (IndexError, ValueError):
        return None
    return tree if end == len(tokens) else None


def _tokens(text: str) -> list[str]:
    tokens, end = [], 0
    stripped = text.rstrip()
    while end < len(stripped):
        match = _TOKEN.match(stripped, end)
        if match is None:
            return []
        token, end = match[1], match.end()
        tokens.append(token.upper() if token.upper() in _OPERATORS else token)
    return tokens


def _alternatives(tokens: list[str], at: int) -> tuple[_Joined | str, int]:
    return _chain("OR", lambda tokens, at: _chain("AND", _term, tokens, at), tokens, at)


def _chain(
    operator: Literal["AND", "OR"],
    operand: Callable[[list[str], int], tuple[_Joined | str, int]],
    tokens: list[str],
    at: int,
) -> tuple[_Joined | str, int]:
    part, at = operand(tokens, at)
    parts = [part]
    while at < len(tokens) and tokens[at] == operator:
        part, at = operand(tokens, at + 1)
        parts.append(part)
    return _join(operator, parts), at


def _term(tokens: list[str], at: int) -> tuple[_Joined | str, int]:
    """A licence, with its exception if it has one, or what stands in parentheses. IndexError where nothing does."""
    if tokens[at] == "(":
        inner, at = _alternatives(tokens, at + 1)
        if tokens[at] != ")":
            raise ValueError(tokens[at])
        return inner, at + 1
    licence = _id(tokens[at])
    if at + 1 < len(tokens) and tokens[at + 1] == "WITH":
        return f"{licence} WITH {_id(tokens[at + 2])}", at + 3
    return licence, at + 1


def _id(token: str) -> str:
    if token in (*_OPERATORS, "(", ")"):
        raise ValueError(token)
    return known_id(token) or token


def _join(operator: Literal["AND", "OR"], parts: Iterable[_Joined | str]) -> _Joined | str:
    """`parts` flat, each once and in order; a single one as it is."""
    flat: dict[_Joined | str, str] = {}
    for part in parts:
        inner = part.parts if isinstance(part, _Joined) and part.operator == operator else (part,)
        flat |= {each: _shown(each) for each in inner}
    ordered = sorted(flat, key=lambda part: (flat[part].lower(), flat[part]))
    return ordered[0] if len(ordered) == 1 else _Joined(operator, tuple(ordered))


def _shown(tree: _Joined | str) -> str:
    if isinstance(tree, str):
        return tree
    shown = [_shown(part) for part in tree.parts]
    bracketed = [
        f"({text})" if isinstance(part, _Joined) and part.operator == "OR" else text
        for part, text in zip(tree.parts, shown, strict=True)
    ]
    return f" {tree.operator} ".join(bracketed)


def _leaves(tree: _Joined | str) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree.partition(" WITH ")[0]
    else:
        for part in tree.parts:
            yield from _leaves(part)
