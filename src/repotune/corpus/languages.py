"""The language of a file by its name, its extension or its first line, from the table in languages.toml."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from importlib.resources import files

from repotune.core.errors import UserError

_TABLE: dict[str, dict[str, list[str]]] = tomllib.loads(
    (files("repotune.corpus") / "languages.toml").read_text(encoding="utf-8")
)
LANGUAGES = tuple(sorted(_TABLE, key=str.lower))

_BY_LANGUAGE = {language.lower(): language for language in LANGUAGES}
_BY_NAME = {name: language for language, row in _TABLE.items() for name in row.get("names", ())}
_BY_EXTENSION = {end: language for language, row in _TABLE.items() for end in row.get("extensions", ())}
_BY_INTERPRETER = {name: language for language, row in _TABLE.items() for name in row.get("interpreters", ())}

# `#!/usr/bin/env -S python3.11 -u` and `#!/bin/sh -e`: the interpreter is the first word that is neither env nor an
# option nor an assignment; its version is not part of its name.
_SHEBANG = re.compile(rb"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:(?:-\S+|\w+=\S*)[ \t]+)*(?:\S*/)?)?([A-Za-z_-]+[23]?)")


def language_of_path(path: str) -> str:
    """The language that `path`'s name or extension tells, else an empty text."""
    name = path.rpartition("/")[2].lower()
    stem, dot, extension = name.rpartition(".")
    return _BY_NAME.get(name) or (_BY_EXTENSION.get(dot + extension, "") if stem else "")


def language_named(name: str) -> str:
    """The language that others call `name`, whatever its case, else an empty text."""
    return _BY_LANGUAGE.get(name.lower(), "")


def may_have_shebang(path: str) -> bool:
    """Whether only the first line can tell: the name has no extension."""
    return "." not in path.rpartition("/")[2].lstrip(".")


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
