"""The language of a file by its name or extension, and where those do not tell, by its first lines and its contents.

The tables are languages.toml and ambiguous.toml. A path alone says which languages a file may be in, so that files no
one wants are never read.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from repotune.core.errors import UserError


class _Ambiguous(NamedTuple):
    """What tells apart the languages of one extension: patterns in order, and the language where none is found."""

    rules: tuple[tuple[str, re.Pattern[bytes]], ...]
    otherwise: str

    @property
    def languages(self) -> frozenset[str]:
        return frozenset([self.otherwise, *(language for language, _ in self.rules)])


def _read(name: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("repotune.corpus") / name).read_text(encoding="utf-8"))


_TABLE = _read("languages.toml")
LANGUAGES = tuple(sorted(_TABLE, key=str.lower))
"""Every language that can be learnt."""

_BY_LANGUAGE = {language.lower(): language for language in LANGUAGES}
_BY_NAME = {name: language for language, row in _TABLE.items() for name in row.get("names", ())}
_BY_EXTENSION = {end: language for language, row in _TABLE.items() for end in row.get("extensions", ())}
_BY_INTERPRETER = {name: language for language, row in _TABLE.items() for name in row.get("interpreters", ())}
_BY_MODE: dict[str, str] = {mode: language for language, row in _TABLE.items() for mode in row.get("modes", ())}
_AMBIGUOUS = {
    extension: _Ambiguous(
        tuple((language, re.compile(pattern.encode(), re.MULTILINE)) for language, pattern in row["rules"]),
        row["otherwise"],
    )
    for extension, row in _read("ambiguous.toml").items()
}

_HEAD = 8192  # bytes in which contents must show their language
_MODE_LINES = 5  # at either end of a file, where editors look for theirs

# `#!/usr/bin/env -S python3.11 -u` and `#!/bin/sh -e`: the interpreter is the first word that is neither env nor an
# option nor an assignment; its version is not part of its name.
_SHEBANG = re.compile(rb"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:(?:-\S+|\w+=\S*)[ \t]+)*(?:\S*/)?)?([A-Za-z_-]+[23]?)")
# `-*- C++ -*-`, `-*- mode: perl; coding: utf-8 -*-`, `vim: set ft=prolog:`.
_EMACS = re.compile(
    rb"-\*-[ \t]*(?:[^\n]{0,200}?\bmode:[ \t]*)?([\w+#-]+?)(?:-mode)?[ \t]*(?:;[^\n]{0,200}?)?-\*-", re.I
)
_VIM = re.compile(rb"\b(?:vim?|ex):[^\n]{0,200}?\b(?:ft|filetype|syntax)=(\w+)")


def language_of(path: str, data: bytes) -> str:
    """The language of the file at `path` with the contents `data`, else an empty text."""
    told = language_of_path(path)
    if told:
        return told
    _, extension = _name_and_extension(path)
    ambiguous = _AMBIGUOUS.get(extension)
    possible = possible_languages(path)
    for said in (_mode(data), language_of_shebang(data)) if possible else ():
        if said in possible:
            return said
    if ambiguous is None:
        return ""
    head = data[:_HEAD].replace(b"\r\n", b"\n")
    return next((language for language, pattern in ambiguous.rules if pattern.search(head)), ambiguous.otherwise)


def language_of_path(path: str) -> str:
    """The language that `path` alone tells, else an empty text."""
    name, extension = _name_and_extension(path)
    return _BY_NAME.get(name) or _BY_EXTENSION.get(extension, "")


def likely_language(path: str) -> str:
    """The language that `path` tells, or of several the usual one, else an empty text."""
    ambiguous = _AMBIGUOUS.get(_name_and_extension(path)[1])
    return language_of_path(path) or (ambiguous.otherwise if ambiguous else "")


def possible_languages(path: str) -> frozenset[str]:
    """The languages that the file at `path` may be in: all for a name without an extension, none for an unknown one."""
    if told := language_of_path(path):
        return frozenset({told})
    _, extension = _name_and_extension(path)
    if extension in _AMBIGUOUS:
        return _AMBIGUOUS[extension].languages
    return frozenset() if extension else frozenset(LANGUAGES)


def language_named(name: str) -> str:
    """The language that others call `name`, whatever its case, else an empty text."""
    return _BY_LANGUAGE.get(name.lower(), "")


def language_of_shebang(data: bytes) -> str:
    """The language that a script's first line names, else an empty text."""
    match = _SHEBANG.match(data[:256].split(b"\n", 1)[0])
    return _BY_INTERPRETER.get(match[1].decode().lower(), "") if match else ""


def wanted_languages(names: Sequence[str] | None) -> frozenset[str]:
    """The languages that `names` choose, whatever their case; all for None. Raises UserError for an unknown one."""
    if names is None:
        return frozenset(LANGUAGES)
    for name in names:
        if not language_named(name):
            near = difflib.get_close_matches(name.lower(), _BY_LANGUAGE, n=1)
            hint = f"did you mean {_BY_LANGUAGE[near[0]]}?" if near else f"known languages: {', '.join(LANGUAGES)}"
            raise UserError(f"corpus.languages names a language that is not known: {name}.", hint)
    return frozenset(language_named(name) for name in names)


def _name_and_extension(path: str) -> tuple[str, str]:
    """The last name of `path` and its extension with the dot, in lower case; `.bashrc` has none."""
    name = path.rpartition("/")[2].lower()
    stem, dot, extension = name.rpartition(".")
    return name, dot + extension if stem.strip(".") else ""


def _mode(data: bytes) -> str:
    """The language that a line for Emacs or Vim at either end of `data` sets, else an empty text."""
    if b"-*-" not in data and b"vi" not in data and b"ex:" not in data:
        return ""
    lines = [*data[:_HEAD].split(b"\n")[:_MODE_LINES], *data[-_HEAD:].split(b"\n")[-_MODE_LINES:]]
    for line in lines:
        if match := _EMACS.search(line) or _VIM.search(line):
            mode = match[1].decode().lower()
            return _BY_LANGUAGE.get(mode) or _BY_MODE.get(mode, "")
    return ""
